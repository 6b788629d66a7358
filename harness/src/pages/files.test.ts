// Files in the page, both ways: chosen, dropped and pasted; shown, enlarged, played and saved; paused and gone on with; to be
// seen once; and nothing of a request's files before it is accepted.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Client, Message } from '@drawbridge/client';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { noisePng } from '../media-files.ts';
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
let context: BrowserContext;
let page: Page;
let bob: Client;
let complaints: string[];
const toAnna = { provider: 'skylark.example', identifier: 'anna' };
const picture = noisePng(300, 200);
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork();
  browser = await launchBrowser();
  bob = await network.open('bob', 'citadel');
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn('skylark.example');
  process = await startPageProcess(network, { identifier: 'anna', at: 'skylark' });
  ({ page, context, complaints } = await openPage(browser, await process.address(), { acceptDownloads: true }));
  await page.getByText('No chats yet').waitFor();
  await bob.send(toAnna, { text: 'hello' });
  await page.locator('.row').click();
  await page.locator('#composer').waitFor();
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  await process.kill('SIGKILL');
  await network.close();
});

/** What came to bob with a file of that description. */
async function arrived(wanted: (message: Message) => boolean): Promise<Message> {
  for (let tries = 0; tries < 800; tries++) {
    const rows = await bob.chats.messages({ limit: 20 });
    const found = rows.find(({ message }) => message.state === undefined && wanted(message));
    if (found !== undefined) return found.message;
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  throw new Error('it did not arrive');
}

const fileOf = (message: Pick<Message, 'body'>) =>
  message.body?.kind === 'attachment' ? message.body.attachments[0] : undefined;

async function bytesOf(message: Message): Promise<Buffer> {
  const path = join(network.folder, 'fetched');
  await bob.files.save(message, 0, path);
  return readFileSync(path);
}

const choose = (...files: { name: string; mimeType: string; buffer: Buffer }[]): Promise<void> =>
  page.locator('input[type=file]').setInputFiles(files);
const plain = (name: string, text: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });
const sendChosen = (): Promise<void> => page.getByRole('dialog').getByRole('button', { name: 'Send' }).click();

/** Whether the browser has decoded it: an address that leads nowhere has no width. */
async function widthOf(selector: string): Promise<number> {
  for (let tries = 0; tries < 400; tries++) {
    const width = await page
      .locator(selector)
      .last()
      .evaluate(each => (each as HTMLImageElement).naturalWidth);
    if (width > 0) return width;
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  return 0;
}

test('files are chosen, looked at, sent and arrive', { skip: noBrowser, timeout: 120_000 }, async () => {
  await choose(
    { name: 'me at home.png', mimeType: 'image/png', buffer: Buffer.from(picture) },
    plain('a list.txt', 'bread'),
  );
  const dialog = page.getByRole('dialog');
  await dialog.getByText('a list.txt').waitFor();
  await assertAccessible(page, 'send files');
  await screenshot(page, 'send-files');
  await dialog.getByLabel('Words to go with it').fill('this is me');
  await sendChosen();
  const sent = await arrived(message => fileOf(message)?.kind === 'image');
  assert.equal(sent.text, 'this is me');
  assert.doesNotMatch(fileOf(sent)?.fileName ?? '', /home/, 'what the picture was called is not told');
  const list = await arrived(message => fileOf(message)?.fileName === 'a list.txt');
  assert.equal((await bytesOf(list)).toString(), 'bread');
  // Her own copy, from the place where everybody gets it.
  assert.equal(await widthOf('.message.mine img'), 300);
  await page.locator('.unsent').waitFor({ state: 'detached' });
  await assertAccessible(page, 'files');
  await screenshot(page, 'files');
});

test('files are dropped on the chat, and pasted', { skip: noBrowser, timeout: 60_000 }, async () => {
  const give = (kind: 'drop' | 'paste', name: string): Promise<void> =>
    page.evaluate(
      ([kind, name]) => {
        const given = new DataTransfer();
        given.items.add(new File([`${kind} of ${name}`], name!, { type: 'text/plain' }));
        const options = { bubbles: true, cancelable: true } as const;
        if (kind === 'drop') {
          document
            .querySelector('.messages')!
            .dispatchEvent(new DragEvent('drop', { ...options, dataTransfer: given }));
        } else {
          const paste = new ClipboardEvent('paste', { ...options, clipboardData: given });
          document.querySelector('#composer')!.dispatchEvent(paste);
        }
      },
      [kind, name],
    );
  for (const kind of ['drop', 'paste'] as const) {
    await give(kind, `${kind}.txt`);
    await page.getByRole('dialog').getByText(`${kind}.txt`).waitFor();
    await sendChosen();
    const message = await arrived(each => fileOf(each)?.fileName === `${kind}.txt`);
    assert.equal((await bytesOf(message)).toString(), `${kind} of ${kind}.txt`);
  }
});

test('a picture that came is shown, enlarged and saved', { skip: noBrowser, timeout: 60_000 }, async () => {
  await bob.files.send(toAnna, { from: new Blob([Uint8Array.from(noisePng(400, 100))]), caption: 'look' });
  await page.locator('.message.theirs', { hasText: 'look' }).locator('img').waitFor();
  assert.equal(await widthOf('.message.theirs img'), 400);
  await page.locator('.message.theirs .picture').last().click();
  await page.getByRole('dialog').getByRole('img').waitFor();
  assert.equal(await widthOf('dialog img'), 400);
  await assertAccessible(page, 'a picture');
  await screenshot(page, 'picture');
  await page.keyboard.press('Escape');
  await bob.files.send(toAnna, {
    from: new Blob(['<script>alert(1)</script>']),
    name: 'page.html',
    mimeType: 'text/html',
  });
  const card = page.locator('.file', { hasText: 'page.html' });
  const [download] = await Promise.all([page.waitForEvent('download'), card.click()]);
  assert.equal(download.suggestedFilename(), 'page.html');
  assert.equal(readFileSync(await download.path(), 'utf8'), '<script>alert(1)</script>');
  assert.equal(context.pages().length, 1, 'nothing opened it');
});

test('no address of a file can be opened, framed or asked for by anything but its element', {
  skip: noBrowser,
  timeout: 60_000,
}, async () => {
  const shown = await page.locator('.message.theirs img').last().getAttribute('src');
  const saved = shown!.replace('/show/', '/save/');
  const { origin } = new URL(page.url());
  const asked = await page.evaluate(async path => (await fetch(path)).status, shown!);
  assert.equal(asked, 403, 'a script of the page has no use for it');
  const other = await context.newPage();
  const opened = await other.goto(`${origin}${shown}`);
  assert.equal(opened?.status(), 403);
  // The same cookie, another use: the address is of the use, too.
  assert.equal(await page.evaluate(async path => (await fetch(path)).status, saved), 404);
  await other.close();
  // Without the browser's cookie the address is worth nothing, whatever headers somebody makes up.
  const headers = { 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'image' };
  assert.equal((await fetch(`${origin}${shown}`, { headers })).status, 401);
  complaints.splice(0);
});

test('what can’t go waits, is paused, goes on, and is given up', { skip: noBrowser, timeout: 120_000 }, async () => {
  const row = (name: string) => page.locator('.unsent li', { hasText: name });
  await network.withoutProvider(async () => {
    await choose(plain('later.txt', 'later'), plain('never.txt', 'never'));
    await sendChosen();
    await row('later.txt')
      .getByText(/Waits for the network|Is being sent/)
      .waitFor();
    await row('later.txt').getByRole('button', { name: 'Pause' }).click();
    await row('later.txt').getByText('Paused').waitFor();
    await assertAccessible(page, 'files on their way');
    await screenshot(page, 'unsent');
    await row('never.txt').getByRole('button', { name: 'Give up' }).click();
    await row('never.txt').waitFor({ state: 'detached' });
    // It is the process that has them: a page that is loaded again shows the same.
    await page.reload();
    await row('later.txt').getByText('Paused').waitFor();
  });
  await row('later.txt').getByRole('button', { name: 'Go on' }).click();
  const message = await arrived(each => fileOf(each)?.fileName === 'later.txt');
  assert.equal((await bytesOf(message)).toString(), 'later');
  await page.locator('.unsent').waitFor({ state: 'detached' });
  const rows = await bob.chats.messages({ limit: 50 });
  assert.ok(rows.every(({ message: each }) => fileOf(each)?.fileName !== 'never.txt'));
  complaints.splice(0);
});

test('a voice message is recorded, and is Ogg Opus', { skip: noBrowser, timeout: 60_000 }, async () => {
  await page.getByRole('button', { name: 'Record a voice message' }).click();
  await page.getByText('The microphone can’t be used.').waitFor();
  await context.grantPermissions(['microphone']);
  await page.getByRole('button', { name: 'Record a voice message' }).click();
  await page.getByText('0:02').waitFor();
  await assertAccessible(page, 'recording');
  await screenshot(page, 'recording');
  await page.getByRole('button', { name: 'Send' }).click();
  const message = await arrived(each => fileOf(each)?.kind === 'voice');
  assert.equal(fileOf(message)?.mediaType, 'audio/ogg');
  assert.ok((fileOf(message)?.durationMs ?? 0) >= 1_500, `${fileOf(message)?.durationMs} ms`);
  const bytes = await bytesOf(message);
  assert.equal(bytes.toString('latin1', 0, 4), 'OggS');
  assert.ok(bytes.includes('OpusHead'));
  // And one that came is played, which its sender hears of.
  const { id } = await bob.files.send(toAnna, { from: new Blob([Uint8Array.from(bytes)]), kind: 'voice' });
  const player = page.locator('.message.theirs audio');
  await player.evaluate(each => (each as HTMLAudioElement).play());
  for (let tries = 0; ; tries++) {
    const own = await bob.chats.get({ author: bob.me!.interopId, id });
    if (own.state === 'played') break;
    assert.ok(tries < 400, `it is ${own.state}`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  complaints.splice(0);
});

test('what is to be seen once is seen once, on both sides', { skip: noBrowser, timeout: 60_000 }, async () => {
  await bob.files.send(toAnna, { from: new Blob([Uint8Array.from(noisePng(64, 64))]), viewOnce: true });
  await page.locator('.message.theirs').last().getByRole('button', { name: 'Open it' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('img').waitFor();
  assert.equal(await widthOf('dialog img'), 64);
  const address = await dialog.getByRole('img').getAttribute('src');
  await assertAccessible(page, 'seen once');
  await screenshot(page, 'view-once');
  await page.keyboard.press('Escape');
  await page.locator('.message.theirs', { hasText: 'Was seen once' }).waitFor();
  // Its address leads nowhere any more, with everything that the page has.
  const { origin } = new URL(page.url());
  const [cookie] = await context.cookies();
  const headers = {
    cookie: `${cookie!.name}=${cookie!.value}`,
    'sec-fetch-site': 'same-origin',
    'sec-fetch-dest': 'image',
  };
  for (let tries = 0; (await fetch(`${origin}${address}`, { headers })).status !== 404; tries++) {
    assert.ok(tries < 400, 'its address leads there still');
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  await choose({ name: 'x.png', mimeType: 'image/png', buffer: Buffer.from(noisePng(32, 32)) });
  await page.getByRole('dialog').getByLabel('To be seen once').check();
  await sendChosen();
  const sent = await arrived(each => each.kind === 'view-once');
  const opened = await bob.chats.openOnce(sent);
  assert.equal(fileOf(opened)?.kind, 'image');
  await page.locator('.message.mine', { hasText: 'To be seen once' }).waitFor();
  complaints.splice(0);
});

test('nothing of a request’s files is fetched or shown before it is accepted', {
  skip: noBrowser,
  timeout: 120_000,
}, async t => {
  const strangers = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => strangers.close());
  const carol = await startPageProcess(strangers, { identifier: 'carol', at: 'citadel' });
  t.after(() => carol.kill('SIGKILL'));
  const shown = await openPage(browser, await carol.address());
  const asked: string[] = [];
  shown.page.on('request', request => asked.push(new URL(request.url()).pathname));
  await shown.page.getByRole('button', { name: 'Settings' }).click();
  await shown.page.getByRole('switch', { name: /skylark\.example/ }).click();
  await shown.page.getByRole('button', { name: 'Let them' }).click();
  await shown.page.locator('input[role=switch]:checked').waitFor();
  const dave = await strangers.open('dave', 'skylark');
  await dave.account.enlist();
  await dave.connect();
  const file = { from: new Blob([Uint8Array.from(noisePng(8, 8))]), caption: 'who is this?' };
  await dave.files.send({ provider: 'citadel.example', identifier: 'carol' }, file);
  await shown.page.getByRole('button', { name: /Requests/ }).click();
  await shown.page.getByText('who is this?').waitFor();
  await shown.page.waitForTimeout(500);
  assert.equal(await shown.page.locator('main img, main video, main audio').count(), 0);
  assert.deepEqual(
    asked.filter(path => path.startsWith('/media/')),
    [],
  );
  assert.ok(!existsSync(join(strangers.folder, 'pages', 'carol', 'media')), 'nothing was fetched');
  await shown.page.getByRole('button', { name: 'Accept' }).click();
  await shown.page.locator('.message.theirs img').waitFor();
  assert.ok(asked.some(path => path.startsWith('/media/')));
  assert.deepEqual(shown.complaints, []);
});
