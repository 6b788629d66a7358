// A request from somebody one does not want: reported with proof, refused, and let in after all. Nothing tells the sender.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSdkNetwork } from '../scenarios/sdk-network.ts';
import { assertAccessible, launchBrowser, noBrowser, openPage, startPageProcess } from './chat-page.ts';

test('a request is reported, refused, and accepted after all', { skip: noBrowser, timeout: 120_000 }, async t => {
  const network = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => network.close());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const process = await startPageProcess(network, { identifier: 'bob', at: 'citadel' });
  t.after(() => process.kill('SIGKILL'));
  const { page, complaints } = await openPage(browser, await process.address());
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('switch', { name: /skylark\.example/ }).click();
  await page.getByRole('button', { name: 'Let them' }).click();
  await page.locator('input[role=switch]:checked').waitFor();
  const anna = await network.open('anna', 'skylark');
  await anna.account.enlist();
  await anna.connect();
  const toBob = { provider: 'citadel.example', identifier: 'bob' };
  const { id } = await anna.send(toBob, { text: 'buy this' });
  await page.getByRole('button', { name: /Requests/ }).click();
  await page.getByText('buy this').waitFor();
  const request = page.getByRole('article');

  await request.getByRole('button', { name: 'Report' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Fraud').check();
  await dialog.getByLabel('In your words (optional)').fill('never heard of them');
  await assertAccessible(page, 'report');
  await dialog.getByRole('button', { name: 'Send the report' }).click();
  await page.getByText('Reported. The operator can read 1 message.').waitFor();

  await request.getByRole('button', { name: 'Refuse' }).click();
  await assertAccessible(page, 'refuse');
  await dialog.getByRole('button', { name: 'Refuse' }).click();
  await page.getByText('Nobody waits for your decision.').waitFor();
  await page.getByText('(refused)').waitFor();
  await page.getByRole('button', { name: 'Accept after all' }).click();
  await page.getByText('(refused)').waitFor({ state: 'detached' });
  // She never learned that it was read, nor that she was refused.
  const rows = await anna.chats.messages({ limit: 10 });
  assert.match(rows.find(({ message }) => message.id === id)?.message.state ?? '', /^(?:sent|delivered)$/);
  assert.deepEqual(complaints, []);
});
