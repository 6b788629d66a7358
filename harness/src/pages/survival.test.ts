// What survives: tabs that die, two at once, a process that is killed, a network that goes away, a folder that is taken; and a
// deed that is asked for twice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type SdkNetwork, startSdkNetwork } from '../scenarios/sdk-network.ts';
import { launchBrowser, noBrowser, openPage, type PageProcess, startPageProcess, watch } from './chat-page.ts';

let network: SdkNetwork;
let browser: Browser;
let bob: Client;
let process: PageProcess;
let context: BrowserContext;
let page: Page;
const complaints: string[] = [];
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork();
  browser = await launchBrowser();
  bob = await network.open('bob', 'citadel');
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn('skylark.example');
  process = await startPageProcess(network, { identifier: 'anna', at: 'skylark' });
  ({ page, context } = await openPage(browser, await process.address()));
  watch(page, complaints);
  await writeToBob();
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  await process.kill('SIGKILL');
  await network.close();
});

async function writeToBob(): Promise<void> {
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByLabel('Their service').fill('citadel.example');
  await page.getByLabel('Their name there').fill('bob');
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await page.locator('#composer').waitFor();
  await send(page, 'one');
}

async function send(on: Page, text: string): Promise<void> {
  await on.locator('#composer').fill(text);
  await on.locator('#composer').press('Enter');
  await own(on, text).waitFor();
}

const own = (on: Page, text: string) => on.locator('.message.mine', { hasText: text });
const counted = async (on: Page, text: string): Promise<number> => own(on, text).count();

/** The page's policy lets no predicate of the test tool in, so it is asked again and again. */
async function draftIs(on: Page, text: string): Promise<void> {
  for (let tries = 0; (await on.locator('#composer').inputValue()) !== text; tries++) {
    assert.ok(tries < 100, `${await on.locator('#composer').inputValue()} is in the field, not ${text}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

async function received(count: number): Promise<string[]> {
  for (let tries = 0; tries < 400; tries++) {
    const rows = await bob.chats.messages({ limit: 100 });
    const texts = rows
      .map(({ message }) => message)
      .filter(({ kind }) => kind === 'text')
      .map(({ text }) => text);
    if (texts.length >= count) return texts.toReversed();
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  throw new Error('it did not arrive');
}

test('two tabs show the same, and the words of one that dies are in the other', { skip: noBrowser }, async () => {
  const second = await context.newPage();
  watch(second, complaints);
  await second.goto(page.url());
  await own(second, 'one').waitFor();
  await send(second, 'two');
  await own(page, 'two').waitFor();
  assert.equal(await counted(page, 'two'), 1);
  await second.locator('#composer').pressSequentially('half a sent');
  // A moment after the last key: the promise is 150 ms.
  await new Promise(resolve => setTimeout(resolve, 400));
  // Not closed: gone, without a word to the page.
  const crash = second.waitForEvent('crash').catch(() => {});
  await second.goto('chrome://crash').catch(() => {});
  await crash;
  await draftIs(page, 'half a sent');
  const third = await context.newPage();
  await third.goto(page.url());
  await draftIs(third, 'half a sent');
  await send(third, 'half a sentence');
  await draftIs(page, '');
  await third.close();
  assert.deepEqual(await received(3), ['one', 'two', 'half a sentence']);
  assert.deepEqual(complaints, []);
});

test('a deed that is asked for twice under one key is done once, also over another socket', {
  skip: noBrowser,
}, async () => {
  const outcomes = await page.evaluate(async () => {
    const chat = decodeURIComponent(location.hash.replace('#/chat/', ''));
    const key = crypto.randomUUID();
    const ask = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/tab`, [
          'drawbridge-page-1',
          `token.${localStorage.getItem('token')}`,
        ]);
        socket.addEventListener('error', () => reject(new Error('refused')));
        socket.addEventListener('open', () => {
          socket.send(JSON.stringify({ kind: 'hello' }));
          socket.send(JSON.stringify({ kind: 'command', id: 1, key, name: 'chats.send', arguments: { chat, text } }));
        });
        socket.addEventListener('message', ({ data }) => {
          const frame = JSON.parse(String(data)) as {
            kind: string;
            ok?: boolean;
            value?: { id: string };
            error?: { code: string };
          };
          if (frame.kind !== 'result') return;
          socket.close();
          resolve(frame.value?.id ?? frame.error?.code ?? '');
        });
      });
    return [...(await Promise.all([ask('once'), ask('once')])), await ask('once'), await ask('another')];
  });
  assert.match(outcomes[0]!, /^[0-9a-f]{32}$/);
  assert.deepEqual(outcomes, [outcomes[0], outcomes[0], outcomes[0], 'key-reused']);
  await own(page, 'once').waitFor();
  assert.deepEqual(
    (await received(4)).filter(text => text === 'once'),
    ['once'],
  );
});

test('what is written without a network is kept, shown as waiting, and arrives when it is back', {
  skip: noBrowser,
}, async () => {
  const restarted = network.restart();
  await page.getByText('No connection. What you write is kept').waitFor();
  await send(page, 'meanwhile');
  await restarted;
  await own(page, 'meanwhile')
    .locator('.state:is([data-state=sent], [data-state=delivered], [data-state=read])')
    .waitFor();
  await page.getByText('No connection. What you write is kept').waitFor({ state: 'detached' });
  assert.equal((await received(5)).at(-1), 'meanwhile');
});

test('a second process on the folder is refused in words', { skip: noBrowser }, async () => {
  const other = await startPageProcess(network, { identifier: 'anna', at: 'skylark' });
  const shown = await openPage(browser, await other.address());
  await shown.page.getByRole('alert').getByText('Another process is using this person’s folder').waitFor();
  await shown.context.close();
  await other.kill('SIGKILL');
  await send(page, 'still here');
});

test('a process that is killed loses nothing that was taken, and its page says what to do', {
  skip: noBrowser,
}, async () => {
  await page.locator('#composer').pressSequentially('a draft');
  await new Promise(resolve => setTimeout(resolve, 400));
  await process.kill('SIGKILL');
  await page.getByText('This page has lost the chat’s process').waitFor();
  await page.getByRole('heading', { name: 'The chat has ended' }).waitFor();
  const { port } = process;
  process = await startPageProcess(network, { identifier: 'anna', at: 'skylark', port });
  // The session of the dead process opens nothing of this one.
  await page.getByRole('heading', { name: 'This page needs its key' }).waitFor();
  const again = await openPage(browser, await process.address());
  await again.page.locator('.row').click();
  for (const text of ['one', 'two', 'half a sentence', 'once', 'meanwhile', 'still here']) {
    await own(again.page, text).waitFor();
    assert.equal(await counted(again.page, text), 1, text);
  }
  await draftIs(again.page, 'a draft');
  await send(again.page, 'a draft, finished');
  assert.equal((await received(7)).at(-1), 'a draft, finished');
});
