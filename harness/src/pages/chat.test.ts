// The chat page from the first screen to a blocked person, in a real browser over a real network: what two people see of each
// other, what survives, and that each screen can be used by everybody.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { type SdkNetwork, startSdkNetwork } from '../scenarios/sdk-network.ts';
import {
  assertAccessible,
  launchBrowser,
  noBrowser,
  openPage,
  type PageProcess,
  screenshot,
  type Shown,
  startPageProcess,
} from './chat-page.ts';

let network: SdkNetwork;
let browser: Browser;
const processes: PageProcess[] = [];
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork(undefined, 'across-providers');
  browser = await launchBrowser();
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  for (const each of processes) await each.kill('SIGKILL');
  await network.close();
});

async function person(identifier: string, at: 'citadel' | 'skylark'): Promise<Shown & { process: PageProcess }> {
  const process = await startPageProcess(network, { identifier, at });
  processes.push(process);
  const shown = await openPage(browser, await process.address());
  await shown.page.getByRole('heading', { name: 'Chats', exact: true }).waitFor();
  return { ...shown, process };
}

/** The chat in which `page` writes to somebody, found by name. */
async function find(page: Page, provider: string, identifier: string): Promise<void> {
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByLabel('Their service').fill(provider);
  await page.getByLabel('Their name there').fill(identifier);
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await page.getByRole('textbox', { name: `Write to ⁨${identifier}⁩` }).waitFor();
}

async function write(page: Page, text: string): Promise<void> {
  const field = page.locator('#composer');
  await field.fill(text);
  await field.press('Enter');
  await page.locator('.message.mine .text', { hasText: text }).last().waitFor();
}

const incoming = (page: Page, text: string) => page.locator('.message.theirs .text', { hasText: text });

test('sign in by the page, with wrong and right secrets', { skip: noBrowser }, async () => {
  const process = await startPageProcess(network, { identifier: 'carol', at: 'citadel', isSignedIn: false });
  processes.push(process);
  const { page, complaints } = await openPage(browser, await process.address());
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await assertAccessible(page, 'sign in');
  await screenshot(page, 'sign-in');
  assert.equal(await page.getByLabel('Your name there').inputValue(), 'carol');
  assert.equal(new URL(page.url()).hash, '', 'the secret stays in no address');
  await page.getByLabel('Password at the provider').fill('the password of carol');
  await page.getByLabel('Passphrase of this device').fill('a long passphrase');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('No chats yet').waitFor();
  await assertAccessible(page, 'no chats');
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByText('You are ⁨carol⁩').waitFor();
  await process.kill('SIGTERM');
  // Another process, and not the passphrase of the folder.
  const again = await startPageProcess(network, { identifier: 'carol', at: 'citadel', isSignedIn: false });
  processes.push(again);
  const second = await openPage(browser, await again.address());
  await second.page.getByLabel('Password at the provider').fill('the password of carol');
  await second.page.getByLabel('Passphrase of this device').fill('something else');
  await second.page.getByRole('button', { name: 'Sign in' }).click();
  await second.page.getByText('This is not the passphrase of that folder.').waitFor();
  assert.deepEqual([...complaints, ...second.complaints], []);
});

test('opt in, a request, accepted, and a chat both ways', { skip: noBrowser, timeout: 240_000 }, async () => {
  const bob = await person('bob', 'citadel');
  const anna = await person('anna', 'skylark');
  // Nobody is reached before they said so.
  await anna.page.getByRole('button', { name: 'New chat' }).click();
  await assertAccessible(anna.page, 'find somebody');
  await screenshot(anna.page, 'find');
  await anna.page.getByLabel('Their service').fill('citadel.example');
  await anna.page.getByLabel('Their name there').fill('bob');
  await anna.page.getByRole('button', { name: 'Find', exact: true }).click();
  await anna.page.getByText('Nobody by that name can be reached.').waitFor();
  await anna.page.getByRole('button', { name: 'Cancel' }).click();

  await bob.page.getByRole('button', { name: 'Settings' }).click();
  await bob.page.getByRole('switch', { name: /skylark\.example/ }).click();
  const words = bob.page.getByRole('dialog');
  await words.getByText(/sees who writes to whom, when, and roughly how much/).waitFor();
  await words.getByText(/Neither .*citadel\.example.* nor .*skylark\.example.* can/).waitFor();
  await assertAccessible(bob.page, 'opt-in');
  await screenshot(bob.page, 'opt-in');
  await bob.page.getByRole('button', { name: 'Let them' }).click();
  await bob.page.locator('input[role=switch]:checked').waitFor();
  await assertAccessible(bob.page, 'settings');
  await screenshot(bob.page, 'settings');

  await find(anna.page, 'citadel.example', 'bob');
  await write(anna.page, 'hello from <b>anna</b>');

  // A request is not a chat: text, and a decision.
  await bob.page.getByRole('button', { name: /Requests/ }).click();
  await bob.page.getByText('hello from <b>anna</b>').waitFor();
  assert.equal(await bob.page.locator('b').count(), 0, 'markup of others is text');
  await assertAccessible(bob.page, 'requests');
  await screenshot(bob.page, 'requests');
  assert.equal(await bob.page.locator('.rows .row').count(), 0, 'a request is not among the chats');
  await bob.page.getByRole('button', { name: 'Accept' }).click();
  await bob.page.getByRole('textbox', { name: 'Write to ⁨anna⁩' }).waitFor();
  await incoming(bob.page, 'hello from').waitFor();
  await write(bob.page, 'hello to you');
  await incoming(anna.page, 'hello to you').waitFor();
  // Receipts, as the one who wrote sees them.
  await anna.page.locator('.message.mine .state[data-state=read]').waitFor();

  await bob.page.locator('#composer').pressSequentially('w');
  await anna.page.getByText('⁨bob⁩ is writing …').first().waitFor();
  await bob.page.locator('#composer').fill('');

  await reactReplyEditDelete(anna, bob);
  await safetyNumbers(anna, bob);
  await timers(anna, bob);
  await block(anna, bob);
  assert.deepEqual([...anna.complaints, ...bob.complaints], []);
  assert.equal(anna.process.errors() + bob.process.errors(), '');
});

async function actOn(page: Page, text: string, action: string | RegExp): Promise<void> {
  const message = page.locator('.message', { hasText: text }).last();
  await message.hover();
  await message.getByRole('button', { name: 'Actions for this message' }).click();
  await page.getByRole('dialog').getByRole('button', { name: action, exact: true }).click();
}

async function reactReplyEditDelete(anna: Shown, bob: Shown): Promise<void> {
  await actOn(anna.page, 'hello to you', '👍');
  await bob.page.locator('.reactions button', { hasText: '👍' }).waitFor();
  await actOn(anna.page, 'hello to you', 'Reply');
  await anna.page.getByText('Answer to').first().waitFor();
  await write(anna.page, 'an answer');
  await bob.page
    .locator('.message.theirs', { hasText: 'an answer' })
    .locator('blockquote', { hasText: 'hello to you' })
    .waitFor();
  await actOn(anna.page, 'an answer', 'Edit');
  await anna.page.locator('#composer').fill('a better answer');
  await anna.page.locator('#composer').press('Enter');
  await incoming(bob.page, 'a better answer').waitFor();
  await bob.page.locator('.message.theirs', { hasText: 'edited' }).waitFor();
  await bob.page.locator('.message.theirs', { hasText: 'a better answer' }).hover();
  await bob.page
    .locator('.message.theirs', { hasText: 'a better answer' })
    .getByRole('button', { name: 'Actions' })
    .click();
  await assertAccessible(bob.page, 'message actions');
  await screenshot(bob.page, 'message-actions');
  await bob.page.getByRole('button', { name: 'What it said before' }).click();
  await bob.page.getByRole('dialog').getByText('an answer', { exact: true }).waitFor();
  await assertAccessible(bob.page, 'versions');
  await bob.page.keyboard.press('Escape');
  await write(anna.page, 'said too much');
  await incoming(bob.page, 'said too much').waitFor();
  await actOn(anna.page, 'said too much', 'Delete for everybody');
  await assertAccessible(anna.page, 'delete');
  await anna.page.getByRole('dialog').getByRole('button', { name: 'Delete for everybody' }).click();
  await incoming(bob.page, 'said too much').waitFor({ state: 'detached' });
  await assertAccessible(bob.page, 'conversation');
  await screenshot(bob.page, 'conversation');
}

async function safetyNumbers(anna: Shown, bob: Shown): Promise<void> {
  const digits: string[] = [];
  for (const { page } of [anna, bob]) {
    await page.getByRole('button', { name: 'Details', exact: true }).click();
    digits.push((await page.locator('.digits').innerText()).replaceAll(/\s+/g, ''));
    await assertAccessible(page, 'details');
    await screenshot(page, 'details');
    await page.getByRole('button', { name: 'The digits are the same' }).click();
    await page.getByText('You have compared this number.').waitFor();
    await page.keyboard.press('Escape');
  }
  assert.match(digits[0]!, /^\d{60}$/);
  assert.equal(digits[0], digits[1], 'the same on both sides');
}

async function timers(anna: Shown, bob: Shown): Promise<void> {
  await anna.page.getByRole('button', { name: 'Details', exact: true }).click();
  await anna.page.getByLabel('Disappearing messages').selectOption('86400');
  await anna.page.keyboard.press('Escape');
  for (const { page } of [anna, bob]) await page.getByText(/Messages disappear .*1 day/).waitFor();
}

async function block(anna: Shown, bob: Shown): Promise<void> {
  await bob.page.getByRole('button', { name: 'Details', exact: true }).click();
  await bob.page.getByRole('button', { name: 'Block', exact: true }).click();
  await assertAccessible(bob.page, 'block');
  await bob.page.getByRole('dialog').last().getByRole('button', { name: 'Block', exact: true }).click();
  await bob.page.keyboard.press('Escape');
  await bob.page.getByText('You have blocked them.').waitFor();
  await write(anna.page, 'are you there?');
  await anna.page.locator('.message.mine', { hasText: 'are you there?' }).locator('.state[data-state=sent]').waitFor();
  assert.equal(await incoming(bob.page, 'are you there?').count(), 0);
  await bob.page.getByRole('button', { name: 'Unblock' }).click();
  await bob.page.getByRole('textbox', { name: 'Write to ⁨anna⁩' }).waitFor();
  await write(anna.page, 'again');
  await incoming(bob.page, 'again').waitFor();
}
