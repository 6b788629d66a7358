// A provider that is opted out of: its people's chats can be read in the page, and written into once it is let in again.
import { test } from 'node:test';
import { startSdkNetwork } from '../scenarios/sdk-network.ts';
import { assertAccessible, launchBrowser, noBrowser, openPage, screenshot, startPageProcess } from './chat-page.ts';

test('opting out closes a chat for writing, and opting in opens it', { skip: noBrowser, timeout: 120_000 }, async t => {
  const network = await startSdkNetwork();
  t.after(() => network.close());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const process = await startPageProcess(network, { identifier: 'bob', at: 'citadel' });
  t.after(() => process.kill('SIGKILL'));
  const { page } = await openPage(browser, await process.address());
  const anna = await network.open('anna', 'skylark');
  await anna.account.enlist();
  await anna.connect();
  const choose = async (act: string): Promise<void> => {
    await page.getByRole('switch', { name: /skylark\.example/ }).click();
    await page.getByRole('button', { name: act }).click();
  };
  await page.getByRole('button', { name: 'Settings' }).click();
  await choose('Let them');
  await page.locator('input[role=switch]:checked').waitFor();
  await anna.send({ provider: 'citadel.example', identifier: 'bob' }, { text: 'hello' });
  await page.getByRole('button', { name: 'Chats' }).first().click();
  await page.locator('.row').click();
  await page.locator('textarea').waitFor();

  await page.getByRole('button', { name: 'Settings' }).click();
  await choose('Stop it');
  await page.locator('input[role=switch]:not(:checked)').waitFor();
  await page.getByRole('button', { name: 'Chats' }).first().click();
  await page.locator('.row').click();
  await page.getByText('You have not opted in to this person’s service').waitFor();
  await page.locator('.message', { hasText: 'hello' }).first().waitFor();
  await page.locator('textarea').waitFor({ state: 'detached' });
  await assertAccessible(page, 'opted-out');
  await screenshot(page, 'opted-out');

  await page.getByRole('button', { name: 'Who can reach you' }).click();
  await choose('Let them');
  await page.getByRole('button', { name: 'Chats' }).first().click();
  await page.locator('.row').click();
  await page.locator('textarea').waitFor();
});
