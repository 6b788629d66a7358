// A message that failed is sent again, or let go, from the page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSdkNetwork } from '../scenarios/sdk-network.ts';
import { assertAccessible, launchBrowser, noBrowser, openPage, screenshot, startPageProcess } from './chat-page.ts';

test('what could not be delivered is sent again or dropped', { skip: noBrowser, timeout: 120_000 }, async t => {
  const network = await startSdkNetwork();
  t.after(() => network.close());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const process = await startPageProcess(network, { identifier: 'anna', at: 'skylark' });
  t.after(() => process.kill('SIGKILL'));
  const { page, complaints } = await openPage(browser, await process.address());
  const bob = await network.open('bob', 'citadel');
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn('skylark.example');
  await page.getByText('No chats yet').waitFor();
  const anna = { provider: 'skylark.example', identifier: 'anna' };
  await bob.send(anna, { text: 'hello' });
  await page.locator('.row').click();
  const failed = (text: string) => page.locator('.message', { hasText: text }).filter({ has: page.locator('.failed') });
  const fail = async (text: string): Promise<void> => {
    await bob.account.optOut('skylark.example');
    await page.locator('textarea').fill(text);
    await page.locator('textarea').press('Enter');
    await failed(text).waitFor();
    await bob.account.optIn('skylark.example');
  };
  await fail('once more');
  await assertAccessible(page, 'failed');
  await screenshot(page, 'failed');
  await failed('once more').getByRole('button', { name: 'Send again' }).click();
  await page.locator('.message', { hasText: 'once more' }).locator('[data-state=delivered]').waitFor();
  await page.locator('.failed').waitFor({ state: 'detached' });
  await fail('unwanted');
  await failed('unwanted').getByRole('button', { name: 'Let it go' }).click();
  await page.locator('.message', { hasText: 'unwanted' }).waitFor({ state: 'detached' });
  const rows = await bob.chats.messages({ chat: anna, limit: 10 });
  const texts = rows.flatMap(({ message }) => (message.kind === 'text' ? [message.text] : []));
  assert.deepEqual(texts.toReversed(), ['hello', 'once more']);
  assert.deepEqual(complaints, []);
});
