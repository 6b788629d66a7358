// A further device is linked from the page on both sides, with digits compared; removed again, with and without a fresh key.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { startSdkNetwork } from '../scenarios/sdk-network.ts';
import {
  assertAccessible,
  launchBrowser,
  noBrowser,
  openPage,
  type PageProcess,
  screenshot,
  startPageProcess,
} from './chat-page.ts';

const dialogOf = (page: Page) => page.getByRole('dialog');

async function digitsOf(page: Page): Promise<string> {
  return page.locator('.short-code').innerText();
}

test('a device is linked from the page, has the chats, and is removed', {
  skip: noBrowser,
  timeout: 240_000,
}, async t => {
  const network = await startSdkNetwork();
  t.after(() => network.close());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const start = async (device: string, isSignedIn: boolean): Promise<PageProcess> => {
    const process = await startPageProcess(network, { identifier: 'anna', at: 'skylark', device, isSignedIn });
    t.after(() => process.kill('SIGKILL'));
    return process;
  };
  const bob = await network.open('bob', 'citadel');
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn('skylark.example');
  const toAnna = { provider: 'skylark.example', identifier: 'anna' };
  const old = await openPage(browser, await (await start('', true)).address());
  await old.page.getByText('No chats yet').waitFor();
  await bob.send(toAnna, { text: 'before it came' });
  await old.page.locator('.row').waitFor();

  const fresh = await openPage(browser, await (await start('-two', false)).address());
  await fresh.page.getByLabel('Password at the provider').fill('the password of anna');
  await fresh.page.getByLabel('Passphrase of this device').fill('a long passphrase');
  await fresh.page.getByRole('button', { name: 'Link to a device that I have' }).click();
  await fresh.page.getByRole('heading', { name: 'Link this device' }).waitFor();
  await fresh.page.getByRole('img', { name: 'Code of the new device' }).waitFor();
  await assertAccessible(fresh.page, 'linking');
  await screenshot(fresh.page, 'linking');
  const code = await fresh.page.getByRole('textbox', { name: 'Code of the new device' }).inputValue();
  const requestDigits = await digitsOf(fresh.page);

  await old.page.getByRole('button', { name: 'Settings' }).click();
  await old.page.getByText('Device 1 (this one)').waitFor();
  await old.page.getByRole('button', { name: 'Link a device' }).click();
  await dialogOf(old.page).getByLabel('Code of the new device').fill('not a code');
  await dialogOf(old.page).getByRole('button', { name: 'Go on' }).click();
  await old.page.getByText('The devices were not linked.').waitFor();
  await dialogOf(old.page).getByLabel('Code of the new device').fill(code);
  await dialogOf(old.page).getByRole('button', { name: 'Go on' }).click();
  assert.equal(await digitsOf(old.page), requestDigits, 'a person sees the same digits on both');
  await assertAccessible(old.page, 'link: compare');
  await dialogOf(old.page).getByRole('button', { name: 'Yes, let it in' }).click();
  const ticket = await dialogOf(old.page).getByRole('textbox', { name: 'Ticket of the device' }).inputValue();
  const answerDigits = await digitsOf(old.page);
  await assertAccessible(old.page, 'link: ticket');
  await screenshot(old.page, 'link-ticket');

  await fresh.page.getByLabel('Ticket of the device that you have').fill(ticket);
  await fresh.page.getByRole('button', { name: 'Go on' }).click();
  await fresh.page.getByText('This device becomes one of').waitFor();
  assert.equal(await digitsOf(fresh.page), answerDigits);
  await assertAccessible(fresh.page, 'link: answer');
  await fresh.page.getByRole('button', { name: 'Yes, link this device' }).click();
  await fresh.page.locator('.row', { hasText: 'before it came' }).waitFor();

  await dialogOf(old.page).getByRole('button', { name: 'Close' }).last().click();
  await old.page.getByText('Device 2 since').waitFor();
  await assertAccessible(old.page, 'devices');
  await screenshot(old.page, 'devices');
  await old.page.getByRole('button', { name: 'Remove device 2' }).click();
  await dialogOf(old.page).getByText('takes a fresh one').waitFor();
  await assertAccessible(old.page, 'remove a device');
  await screenshot(old.page, 'device-remove');
  await dialogOf(old.page).getByRole('button', { name: 'Remove it' }).click();
  await old.page.getByText('The device is removed.').waitFor();
  await old.page.getByText('Device 2 since').waitFor({ state: 'detached' });
  await fresh.page.locator('.link p').waitFor();
  // The other side hears of the fresh key, as a line with something to do about it.
  await old.page.getByRole('button', { name: 'Chats', exact: true }).click();
  await old.page.locator('.row', { hasText: 'bob' }).click();
  await old.page.locator('#composer').fill('under a fresh key');
  await old.page.locator('#composer').press('Enter');
  for (let tries = 0; ; tries++) {
    const rows = await bob.chats.messages({ limit: 5 });
    if (rows.some(({ message }) => message.text === 'under a fresh key')) break;
    assert.ok(tries < 400, 'it did not arrive');
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  await old.page.getByRole('button', { name: 'Details', exact: true }).click();
  await old.page.getByRole('img', { name: 'Safety number to read by a camera' }).waitFor();
  await assertAccessible(old.page, 'safety number');
  await screenshot(old.page, 'safety-qr');
  assert.deepEqual(old.complaints, []);
});
