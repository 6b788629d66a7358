// The page in every look: light and dark, wide, narrow and zoomed, from right to left, in each language. Nothing sticks out, axe
// finds nothing, and with `DRAWBRIDGE_SCREENSHOTS` there is a picture of each to look at.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import type { Browser, Page } from 'playwright-core';
import { noisePng, recordedWav } from '../media-files.ts';
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
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork(undefined, 'across-providers');
  browser = await launchBrowser();
  process = await startPageProcess(network, { identifier: 'bob', at: 'citadel' });
  const { page, context } = await openPage(browser, await process.address());
  await page.getByRole('heading', { name: 'Chats', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('switch').click();
  await page.getByRole('button', { name: 'Let them' }).click();
  await page.locator('input[role=switch]:checked').waitFor();
  await talk(page);
  await context.close();
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  await process.kill('SIGKILL');
  await network.close();
});

const toBob = { provider: 'citadel.example', identifier: 'bob' };

async function enter(identifier: string): Promise<Client> {
  const client = await network.open(identifier, 'skylark');
  await client.account.enlist();
  await client.connect();
  return client;
}

/** A chat with most of what there is, and two requests. */
async function talk(page: Page): Promise<void> {
  const anna = await enter('anna');
  await anna.send(toBob, { text: 'Good morning! Are you coming on Friday?' });
  await page.getByRole('button', { name: /Requests/ }).click();
  await page.getByRole('button', { name: 'Accept' }).click();
  const field = page.locator('#composer');
  await field.fill('Yes, at eight. Shall I bring something?');
  await field.press('Enter');
  await page.locator('.message.mine').waitFor();
  const first = await anna.send(toBob, {
    text: 'Bread, if you pass by the bakery.\n\nAnd https://a-very-long-address.example/which/has/no/place/to/break/in/it/so/that/it/has/to/be/broken/somewhere',
  });
  await anna.send(toBob, { text: 'مرحبا، كيف حالك؟ — and שלום', replyTo: first });
  await anna.chats.edit(first.id, { text: 'Bread and olives, if you pass by the bakery.' });
  await anna.send(toBob, { kind: 'poll', question: 'When?', options: ['Seven', 'Eight', 'Nine'] });
  await anna.files.send(toBob, { from: new Blob([Uint8Array.from(noisePng(640, 420))]), caption: 'From the tower' });
  await anna.files.send(toBob, { from: new Blob(['text']), sourceName: `${'long-'.repeat(20)}.txt` });
  await anna.files.send(toBob, { from: new Blob([Uint8Array.from(recordedWav(3))]), kind: 'voice' });
  await anna.send(toBob, { kind: 'location', latitude: 52.5163, longitude: 13.3777, name: 'The gate' });
  await anna.send(toBob, { text: 'x'.repeat(300) });
  await page.locator('.message.theirs', { hasText: 'xxx' }).waitFor();
  for (const [name, text] of [
    ['dave', 'Hello, I am Dave, we met at the fair. Would you like to see the pictures?'],
    ['a-rather-long-name-for-somebody', 'hi'],
  ] as const) {
    const client = await enter(name);
    await client.send(toBob, { text });
  }
  await page.getByText('2 requests wait').waitFor({ state: 'attached' });
}

type Look = { readonly name: string; readonly options: Parameters<Browser['newContext']>[0]; readonly isRtl?: boolean };

const wide = { width: 1180, height: 760 };
const narrow = { width: 320, height: 640 };
const looks: readonly Look[] = [
  { name: 'light', options: { viewport: wide, colorScheme: 'light' } },
  { name: 'dark', options: { viewport: wide, colorScheme: 'dark' } },
  { name: 'narrow', options: { viewport: narrow, colorScheme: 'light' } },
  { name: 'narrow-dark', options: { viewport: narrow, colorScheme: 'dark' } },
  // As 200 % of 1180 × 760.
  { name: 'zoomed', options: { viewport: { width: 590, height: 380 }, deviceScaleFactor: 2, colorScheme: 'light' } },
  { name: 'rtl', options: { viewport: wide, colorScheme: 'light' }, isRtl: true },
  { name: 'german', options: { viewport: narrow, colorScheme: 'light', locale: 'de-DE' } },
  { name: 'french', options: { viewport: wide, colorScheme: 'dark', locale: 'fr-FR' } },
];

for (const { name, options, isRtl = false } of looks) {
  test(`every screen looks right: ${name}`, { skip: noBrowser, timeout: 120_000 }, async () => {
    const { page, context, complaints } = await openPage(browser, await process.address(), options);
    await page.locator('.row').first().waitFor({ state: 'attached' });
    if (isRtl) await page.evaluate(() => document.documentElement.setAttribute('dir', 'rtl'));
    const look = async (screen: string): Promise<void> => {
      // Transitions are over.
      await page.waitForTimeout(250);
      await screenshot(page, `${name}-${screen}`);
      const { width, outside } = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth - innerWidth,
        outside: [...document.querySelectorAll('button, input, textarea, select, .bubble, h1, h2, img, audio')]
          .map(each => ({ box: each.getBoundingClientRect(), what: each.outerHTML.slice(0, 120) }))
          .filter(({ box }) => box.width > 1 && (box.left < -1 || box.right > innerWidth + 1))
          .map(({ what }) => what),
      }));
      assert.equal(width, 0, `${screen} is too wide`);
      assert.deepEqual(outside, [], `${screen}: sticks out`);
      await assertAccessible(page, `${name}: ${screen}`);
    };
    await look('chats');
    await page.locator('.row').first().click();
    await page.locator('.message').last().waitFor();
    await look('conversation');
    await page.locator('.message.theirs').nth(1).locator('.act').click({ force: true });
    await look('actions');
    await page.keyboard.press('Escape');
    await page.locator('input[type=file]').setInputFiles([
      { name: 'a picture.png', mimeType: 'image/png', buffer: Buffer.from(noisePng(60, 40)) },
      { name: `${'a-name-without-an-end-'.repeat(6)}.txt`, mimeType: 'text/plain', buffer: Buffer.from('text') },
    ]);
    await page.locator('dialog .chosen').waitFor();
    await look('send-files');
    await page.keyboard.press('Escape');
    await page.locator('.composer-row > button').first().click();
    await page.locator('dialog .choices').waitFor();
    await look('more');
    await page.locator('dialog .choices button').nth(1).click();
    await look('new-poll');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').waitFor();
    await look('palette');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+/');
    await page.locator('.shortcuts').waitFor();
    await look('shortcuts');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+Shift+f');
    await page.locator('dialog input').fill('friday');
    await page.locator('.hit').first().waitFor();
    await look('search');
    await page.keyboard.press('Escape');
    await page.locator('.bar button').last().click();
    await page.locator('.digits').waitFor();
    await look('details');
    await page.keyboard.press('Escape');
    if ((options?.viewport?.width ?? 0) < 736) await page.locator('.bar .narrow-only').first().click();
    await page.locator('.place').nth(1).click();
    await page.locator('article').first().waitFor();
    await look('requests');
    await page.locator('article button').first().click();
    await look('report');
    await page.keyboard.press('Escape');
    await page.locator('.place').nth(2).click();
    await look('settings');
    await page.getByRole('switch').click();
    await look('opt-out');
    await page.keyboard.press('Escape');
    assert.deepEqual(complaints, []);
    await context.close();
  });
}
