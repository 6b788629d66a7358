// A poll of somebody else is voted in from the page; what one chooses is seen there, once.
import { test } from 'node:test';
import { startSdkNetwork } from '../scenarios/sdk-network.ts';
import { assertAccessible, launchBrowser, noBrowser, openPage, startPageProcess } from './chat-page.ts';

test('a vote in a poll with one choice, and another in its place', { skip: noBrowser, timeout: 120_000 }, async t => {
  const network = await startSdkNetwork();
  t.after(() => network.close());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const process = await startPageProcess(network, { identifier: 'anna', at: 'skylark' });
  t.after(() => process.kill('SIGKILL'));
  const { page } = await openPage(browser, await process.address());
  const bob = await network.open('bob', 'citadel');
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn('skylark.example');
  await page.getByText('No chats yet').waitFor();
  const toAnna = { provider: 'skylark.example', identifier: 'anna' };
  const poll = await bob.send(toAnna, { kind: 'poll', question: 'When?', options: ['seven', 'eight'], choices: 1 });
  await page.locator('.row').click();
  const options = page.locator('.poll button');
  const votes = async (wanted: string): Promise<void> => {
    for (let tries = 0; tries < 400; tries++) {
      const rows = await bob.chats.messages({ chat: toAnna, limit: 10 });
      const cast = Object.values(rows.find(({ message }) => message.id === poll.id)?.message.poll?.votes ?? {});
      if (JSON.stringify(cast) === wanted) return;
      await new Promise(resolve => setTimeout(resolve, 25));
    }
    throw new Error(`${wanted} did not arrive`);
  };
  await options.nth(1).click();
  await page.locator('.poll button[aria-pressed=true]', { hasText: 'eight' }).waitFor();
  await votes('[[1]]');
  await options.nth(0).click();
  await votes('[[0]]');
  await options.nth(0).click();
  await page.locator('.poll button[aria-pressed=true]').waitFor({ state: 'detached' });
  await assertAccessible(page, 'poll');
});
