// Words are found wherever they were said, and lead there; polls, places and names are sent; keys lead everywhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client, Message } from '@drawbridge/client';
import type { Browser, Page } from 'playwright-core';
import { type SdkNetwork, startSdkNetwork } from '../scenarios/sdk-network.ts';
import {
  assertAccessible,
  launchBrowser,
  noBrowser,
  openPage,
  type PageProcess,
  screenshot,
  startPageProcess,
} from './chat-page.ts';

let network: SdkNetwork;
let browser: Browser;
let process: PageProcess;
let page: Page;
let bob: Client;
let complaints: string[];
const toAnna = { provider: 'skylark.example', identifier: 'anna' };
const said = 260;
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork();
  browser = await launchBrowser();
  bob = await network.open('bob', 'citadel');
  const dora = await network.open('dora', 'citadel');
  for (const client of [bob, dora]) {
    await client.account.enlist();
    await client.connect();
    await client.account.optIn('skylark.example');
  }
  process = await startPageProcess(network, { identifier: 'anna', at: 'skylark' });
  ({ page, complaints } = await openPage(browser, await process.address()));
  await page.getByText('No chats yet').waitFor();
  await dora.send(toAnna, { text: 'Dora was here' });
  await bob.send(toAnna, { text: 'the needle of the beginning' });
  for (let count = 1; count < said; count++) await bob.send(toAnna, { text: `hay ${count}` });
  // On a busy machine so many messages take their time.
  await page.locator('.row', { hasText: `hay ${said - 1}` }).click({ timeout: 120_000 });
  await page.locator('#composer').waitFor();
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  await process.kill('SIGKILL');
  await network.close();
});

async function arrived(kind: Message['kind']): Promise<Message> {
  for (let tries = 0; tries < 800; tries++) {
    const rows = await bob.chats.messages({ limit: 10 });
    const found = rows.find(({ message }) => message.state === undefined && message.kind === kind);
    if (found !== undefined) return found.message;
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  throw new Error(`no ${kind} arrived`);
}

const texts = (): Promise<string[]> => page.locator('.message .text').allInnerTexts();
const dialog = () => page.getByRole('dialog');

test('what is found leads to where it was said, and from there to the newest', {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  await page.keyboard.press('Control+Shift+f');
  await dialog().getByLabel('Words that occur').fill('NEEDLE beginning');
  await dialog().getByText('1 message found').waitFor();
  await assertAccessible(page, 'search');
  await screenshot(page, 'search');
  await dialog().locator('.hit').click();
  await page.locator('.message', { hasText: 'the needle' }).waitFor();
  const at = await page.evaluate(() => {
    const focused = document.activeElement;
    const box = focused?.getBoundingClientRect();
    return { text: focused?.textContent ?? '', isSeen: box !== undefined && box.top > 0 && box.bottom < innerHeight };
  });
  assert.match(at.text, /the needle of the beginning/);
  assert.ok(at.isSeen, 'it is on the screen');
  assert.ok(!(await texts()).includes(`hay ${said - 1}`), 'what lies in between is not loaded');
  // What is said meanwhile does not stand right behind what was said long ago.
  await bob.send(toAnna, { text: 'meanwhile' });
  await page.locator('.row', { hasText: 'meanwhile' }).waitFor();
  assert.ok(!(await texts()).includes('meanwhile'));
  // Down to it by scrolling, a page at a time, without a gap.
  const seen = new Set<string>();
  for (let tries = 0; !seen.has('meanwhile'); tries++) {
    assert.ok(tries < 200, 'the end was not reached');
    for (const text of await texts()) seen.add(text);
    await page.locator('.messages').evaluate(list => list.scrollBy(0, 600));
    await new Promise(resolve => setTimeout(resolve, 30));
  }
  for (let count = 1; count < said; count++) assert.ok(seen.has(`hay ${count}`), `hay ${count}`);
  await page.locator('.messages').evaluate(list => list.scrollTo(0, list.scrollHeight));
  await bob.send(toAnna, { text: 'and now' });
  await page.locator('.message', { hasText: 'and now' }).waitFor();
});

test('a search in one chat finds nothing of others, and none says so', { skip: noBrowser }, async () => {
  await page.getByRole('button', { name: 'Search in this chat' }).click();
  await dialog().getByLabel('Words that occur').fill('dora');
  await dialog().getByText('0 messages found').waitFor();
  await dialog().getByLabel('Words that occur').fill('hay');
  await dialog().getByText('50 messages found').waitFor();
  await dialog().getByRole('button', { name: 'Show more' }).click();
  await dialog().getByText('100 messages found').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Search', exact: true }).click();
  await dialog().getByLabel('Words that occur').fill('dora');
  await dialog().locator('.hit', { hasText: 'Dora was here' }).click();
  await page.getByRole('textbox', { name: /Write to .*dora/ }).waitFor();
  await page.locator('.message', { hasText: 'Dora was here' }).waitFor();
});

test('polls, places and names are sent, and a poll is ended', { skip: noBrowser, timeout: 60_000 }, async () => {
  await page.locator('.row', { hasText: 'bob' }).click();
  await page.getByRole('textbox', { name: /Write to .*bob/ }).waitFor();
  const choose = async (what: string): Promise<void> => {
    await page.getByRole('button', { name: 'Send something else' }).click();
    await dialog().getByRole('button', { name: what, exact: true }).click();
  };
  await page.getByRole('button', { name: 'Send something else' }).click();
  await assertAccessible(page, 'more');
  await page.keyboard.press('Escape');
  await choose('Poll');
  await dialog().getByLabel('Question').fill('When?');
  await dialog().getByLabel('Answer 1').fill('seven');
  await dialog().getByLabel('Answer 2').fill('seven');
  await dialog().getByText('This answer is there twice.').first().waitFor();
  await dialog().getByLabel('Answer 2').fill('eight');
  await dialog().getByRole('button', { name: 'Another answer' }).click();
  await dialog().getByLabel('Answer 3').fill('nine');
  await assertAccessible(page, 'new poll');
  await screenshot(page, 'new-poll');
  await dialog().getByRole('button', { name: 'Send' }).click();
  const poll = await arrived('poll');
  assert.deepEqual(poll.body, { kind: 'poll', question: 'When?', options: ['seven', 'eight', 'nine'], choices: 1 });
  await bob.chats.vote(poll, [2]);
  await page.locator('.poll button', { hasText: 'nine' }).getByText('1 vote').waitFor();
  await page.locator('.message.mine', { hasText: 'When?' }).locator('.act').click({ force: true });
  await dialog().getByRole('button', { name: 'End the poll' }).click();
  await page.getByText('Poll, closed').waitFor();

  await choose('Place');
  await dialog().getByLabel('Where').fill('somewhere');
  await dialog().getByText('That is no place').waitFor();
  await dialog().getByLabel('Where').fill('52.5163, 13.3777');
  await dialog().getByLabel('What it is called').fill('The gate');
  await assertAccessible(page, 'new place');
  await dialog().getByRole('button', { name: 'Send' }).click();
  const place = await arrived('location');
  assert.deepEqual(place.body, { kind: 'location', latitude: 52.5163, longitude: 13.3777, name: 'The gate' });
  await page.locator('.message.mine', { hasText: '52.5163, 13.3777' }).waitFor();

  await choose('Contact');
  await assertAccessible(page, 'new contact');
  await dialog().locator('.row', { hasText: 'dora' }).click();
  const card = await arrived('contacts');
  assert.equal(card.text, 'dora (citadel.example)');
  await page.locator('.message.mine', { hasText: 'dora (citadel.example)' }).waitFor();
  await screenshot(page, 'contents');
  await assertAccessible(page, 'contents');
});

test('keys: the palette leads to a chat, a screen and a deed; an emoji stands where the caret was', {
  skip: noBrowser,
}, async () => {
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').waitFor();
  await assertAccessible(page, 'palette');
  await screenshot(page, 'palette');
  await page.keyboard.type('dor');
  await page.getByRole('option', { name: /dora/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('textbox', { name: /Write to .*dora/ }).waitFor();
  await page.keyboard.press('Alt+ArrowUp');
  await page.getByRole('textbox', { name: /Write to .*bob/ }).waitFor();
  await page.keyboard.press('Control+k');
  await page.keyboard.type('keys');
  await page.keyboard.press('Enter');
  await dialog().getByText('Next chat').waitFor();
  await assertAccessible(page, 'shortcuts');
  await screenshot(page, 'shortcuts');
  await page.keyboard.press('Escape');
  await page.locator('#composer').fill('ab');
  await page.locator('#composer').press('ArrowLeft');
  await page.getByRole('button', { name: 'Insert an emoji' }).click();
  await dialog().getByRole('group', { name: 'Faces' }).waitFor();
  await assertAccessible(page, 'emoji');
  await screenshot(page, 'emoji');
  await dialog().getByRole('button', { name: '😀', exact: true }).focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#composer').inputValue(), 'a😃b');
  await page.locator('#composer').fill('');
  await page.locator('.message.theirs').last().locator('.act').click({ force: true });
  await dialog().getByRole('button', { name: 'Another emoji' }).click();
  await dialog().getByRole('button', { name: '🦄', exact: true }).click();
  await page.locator('.reactions button', { hasText: '🦄' }).waitFor();
  assert.deepEqual(complaints, []);
});

test('a quote leads to what it quotes', { skip: noBrowser, timeout: 60_000 }, async () => {
  const rows = await bob.chats.messages({ limit: 1_000 });
  const first = rows.find(({ message }) => message.text.includes('the needle'))!.message;
  await bob.send(toAnna, { text: 'as I said', replyTo: first });
  await page.locator('.message', { hasText: 'as I said' }).locator('blockquote button').click();
  await page.locator('.message:focus', { hasText: 'the needle of the beginning' }).waitFor();
  await page.getByRole('button', { name: 'Go to the newest' }).click();
  await page.locator('.message', { hasText: 'as I said' }).waitFor();
});
