// Everything by the keyboard: no pointer touches the page from signing in to an answer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { type SdkNetwork, startSdkNetwork } from '../scenarios/sdk-network.ts';
import { launchBrowser, noBrowser, openPage, type PageProcess, startPageProcess } from './chat-page.ts';

let network: SdkNetwork;
let browser: Browser;
let process: PageProcess;
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork();
  browser = await launchBrowser();
  process = await startPageProcess(network, { identifier: 'bob', at: 'citadel', isSignedIn: false });
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  await process.kill('SIGKILL');
  await network.close();
});

/** What has the focus: its name as a person hears it, and whether it can be seen that it has it. */
async function focused(page: Page): Promise<{ readonly name: string; readonly isSeen: boolean }> {
  return page.evaluate(() => {
    const at = document.activeElement;
    if (!(at instanceof HTMLElement) || at === document.body) return { name: '', isSeen: true };
    const labels = 'labels' in at ? [...((at as HTMLInputElement).labels ?? [])].map(each => each.innerText) : [];
    const name = at.getAttribute('aria-label') ?? (labels.length > 0 ? labels.join(' ') : at.innerText);
    const { outlineStyle, outlineWidth } = getComputedStyle(at);
    return { name, isSeen: outlineStyle !== 'none' && outlineWidth !== '0px' };
  });
}

/** Tab until something of that name has the focus; whatever is passed shows its focus. */
async function tabTo(page: Page, name: RegExp, key = 'Tab'): Promise<void> {
  const passed: string[] = [];
  for (let presses = 0; presses < 60; presses++) {
    const at = await focused(page);
    assert.ok(at.isSeen, `the focus on ${at.name} can't be seen`);
    if (name.test(at.name)) return;
    passed.push(at.name);
    await page.keyboard.press(key);
  }
  throw new Error(`${String(name)} is not reached: ${passed.join(' | ')}`);
}

test('sign in, opt in, read, answer, react, edit, compare, all by keys', {
  skip: noBrowser,
  timeout: 180_000,
}, async () => {
  const { page, complaints } = await openPage(browser, await process.address());
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await tabTo(page, /^Password/);
  await page.keyboard.type('the password of bob');
  await tabTo(page, /^Passphrase/);
  await page.keyboard.type('a long passphrase');
  await page.keyboard.press('Enter');
  await page.getByText('No chats yet').waitFor();
  await tabTo(page, /^Settings/);
  await page.keyboard.press('Enter');
  await page.getByRole('switch').waitFor();
  await tabTo(page, /skylark\.example.* can reach you/);
  await page.keyboard.press('Space');
  await page.getByRole('dialog').waitFor();
  await tabTo(page, /^Let them/);
  await page.keyboard.press('Enter');
  await page.locator('input[role=switch]:checked').waitFor();
  assert.match((await focused(page)).name, /can reach you/, 'the focus comes back to where it was');

  const anna = await network.open('anna', 'skylark');
  await anna.account.enlist();
  await anna.connect();
  const toBob = { provider: 'citadel.example', identifier: 'bob' };
  await anna.send(toBob, { text: 'hello' });
  await anna.send(toBob, { text: 'are you there?' });
  await page.locator('.row').waitFor();
  await tabTo(page, /^anna/m, 'Shift+Tab');
  await page.keyboard.press('Enter');
  await page.locator('.message', { hasText: 'are you there?' }).waitFor();
  await tabTo(page, /anna\s+are you there\?/);
  await page.keyboard.press('ArrowUp');
  assert.match((await focused(page)).name, /hello/);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await tabTo(page, /^Reply/);
  await page.keyboard.press('Enter');
  await page.getByText('Answer to').first().waitFor();
  await tabTo(page, /^Write to/);
  await page.keyboard.type('yes');
  await page.keyboard.press('Enter');
  await page.locator('.message.mine', { hasText: 'yes' }).waitFor();
  // What is typed right after stays in the field.
  await page.keyboard.type('more');
  assert.equal(await page.locator('#composer').inputValue(), 'more');
  await page.keyboard.press('Shift+Tab');
  await tabTo(page, /^You[^]*yes/, 'Shift+Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await tabTo(page, /^👍/);
  await page.keyboard.press('Enter');
  await page.locator('.reactions button').waitFor();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await tabTo(page, /^Details/, 'Shift+Tab');
  await page.keyboard.press('Enter');
  await page.locator('.digits').waitFor();
  await tabTo(page, /^The digits are the same/);
  await page.keyboard.press('Enter');
  await page.getByText('You have compared this number.').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.match((await focused(page)).name, /^Details/);
  assert.deepEqual(complaints, []);
});
