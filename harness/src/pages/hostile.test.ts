// Hostile words in every field that others fill, in a real browser: they are text, load nothing, run nothing, and turn no line
// of ours around. And the policy itself, tried from inside the page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Client, shownText } from '@drawbridge/client';
import fc from 'fast-check';
import type { Browser, Page } from 'playwright-core';
import { type SdkNetwork, startSdkNetwork } from '../scenarios/sdk-network.ts';
import { launchBrowser, noBrowser, openPage, type PageProcess, screenshot, startPageProcess } from './chat-page.ts';

let network: SdkNetwork;
let browser: Browser;
let bob: PageProcess;
before(async () => {
  if (noBrowser !== false) return;
  network = await startSdkNetwork();
  browser = await launchBrowser();
  bob = await startPageProcess(network, { identifier: 'bob', at: 'citadel' });
});
after(async () => {
  if (noBrowser !== false) return;
  await browser.close();
  await bob.kill('SIGKILL');
  await network.close();
});

const attacks = [
  '<script>globalThis.taken = 1</script>',
  '<img src="https://attacker.example/x" onerror="globalThis.taken = 1">',
  '"><svg onload=globalThis.taken=1><iframe srcdoc="<script>parent.taken=1</script>">',
  'javascript:globalThis.taken=1',
  '{{constructor.constructor("globalThis.taken=1")()}}${globalThis.taken=1}',
  '</textarea></p></li></ol></main><h1>You are signed out</h1><input type=password>',
  'safe\u202egnp.exe\u2066\u2069\u200f',
  'zero\u200bwidth\u200d\u2060\ufeff\u00ad',
  '\u2069\u2069\u2069 sent you money',
  'a'.repeat(4_000),
  'z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a\u030b\u030c'.repeat(20),
  '\u0000\u0001\u001b[31m\u0007\r\nline',
  '&lt;b&gt;&#x3c;script&#x3e;',
  '__proto__',
] as const;

const hostile = fc.oneof(
  fc.constantFrom(...attacks),
  fc
    .array(fc.oneof(fc.constantFrom(...attacks), fc.string({ unit: 'binary', minLength: 1, maxLength: 30 })), {
      minLength: 1,
      maxLength: 3,
    })
    .map(parts => parts.join('')),
);

/** What of a text has something to show. */
const visible = (text: string): boolean => shownText(text).trim() !== '' && text.isWellFormed();

/** Every text of the chat, from the newest back to its beginning. */
async function allTexts(page: Page): Promise<Set<string>> {
  const found = new Set<string>();
  await page.locator('.message.theirs .text', { hasText: /^last$/ }).waitFor();
  for (let tries = 0; tries < 100; tries++) {
    for (const text of await page.locator('.message.theirs .text').allInnerTexts()) found.add(text);
    if ((await page.locator('.message.theirs .text', { hasText: /^first$/ }).count()) > 0) return found;
    await page.locator('.messages').evaluate(list => list.scrollTo(0, 0));
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error('the beginning was not reached');
}

test('whatever others write, in any field, is text', { skip: noBrowser, timeout: 240_000 }, async () => {
  const shown = await openPage(browser, await bob.address());
  const { page, complaints } = shown;
  const asked: string[] = [];
  page.on('request', request => asked.push(request.url()));
  page.on('dialog', dialog => complaints.push(`dialog: ${dialog.message()}`));
  await page.getByRole('heading', { name: 'Chats', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('switch', { name: /skylark\.example/ }).click();
  await page.getByRole('button', { name: 'Let them' }).click();
  await page.locator('input[role=switch]:checked').waitFor();
  const anna = await network.open('anna', 'skylark');
  await anna.account.enlist();
  await anna.connect();
  const texts = await sendAll(anna);
  await page.getByRole('button', { name: 'Chats', exact: true }).click();
  await page.locator('.row').click();
  const found = [...(await allTexts(page))];
  // As the SDK shows it, and in its order: nothing is lost, nothing else is there.
  const squeezed = (text: string): string => text.replaceAll(/\s+/g, '');
  for (const text of texts)
    assert.ok(
      found.some(each => squeezed(each) === squeezed(shownText(text))),
      JSON.stringify(text),
    );
  await assertNothingStrange(page, asked, complaints);
  await screenshot(page, 'hostile');
  await page.getByRole('button', { name: 'Details', exact: true }).click();
  await page.getByText('Nobody has checked that').waitFor();
  await assertNothingStrange(page, asked, complaints);
});

/** In texts, quotes, names, file names, polls, reactions and drafts of the other side; gives the texts. */
async function sendAll(anna: Client): Promise<string[]> {
  const to = { provider: 'citadel.example', identifier: 'bob' };
  const texts = [...attacks, ...fc.sample(hostile, { numRuns: 40, seed: 1_107 })].filter(visible);
  const names = attacks.filter(each => each.length < 100);
  let last = await anna.send(to, { text: 'first' });
  for (const text of texts) last = await anna.send(to, { text, replyTo: last });
  for (const name of names) {
    await anna.account.setProfile({ displayName: name.replaceAll('\u0000', '') }).catch(() => {});
    await anna.send(to, { kind: 'poll', question: name, options: [name, `${name} `] }).catch(() => {});
    await anna.send(to, { kind: 'location', latitude: 1, longitude: 2, name }).catch(() => {});
    await anna.chats.react(last, name).catch(() => {});
  }
  await anna.chats.react(last, '👍\u202e');
  await anna.send(to, { text: 'last' });
  return ['first', ...texts, 'last'];
}

async function assertNothingStrange(
  page: Page,
  asked: readonly string[],
  complaints: readonly string[],
): Promise<void> {
  const seen = await page.evaluate(() => {
    const ours = new Set(
      'ADDRESS,BDI,BLOCKQUOTE,BUTTON,DIALOG,DIV,FIELDSET,FORM,H1,H2,H3,H4,HEADER,INPUT,LABEL,LI,MAIN,NAV,OL,OPTION,P,SECTION,SELECT,SMALL,SPAN,STRONG,TEXTAREA,TIME,UL,IMG,AUDIO,VIDEO,svg,path,NOSCRIPT'.split(
        ',',
      ),
    );
    const elements = [...document.body.querySelectorAll('*')];
    return {
      strange: elements.filter(each => !ours.has(each.tagName)).map(each => each.outerHTML.slice(0, 200)),
      passwords: document.querySelectorAll('input[type=password]').length,
      handlers: elements
        .flatMap(each => [...each.attributes].map(({ name }) => name))
        .filter(name => name.startsWith('on') || name === 'style' || name === 'srcdoc'),
      taken: (globalThis as { taken?: unknown }).taken,
      polluted: ({} as { taken?: unknown }).taken,
      text: document.body.innerText,
      title: document.title,
    };
  });
  assert.deepEqual(seen.strange, []);
  assert.deepEqual(seen.handlers, []);
  assert.equal(seen.passwords, 0);
  assert.equal(seen.taken, undefined);
  assert.equal(seen.polluted, undefined);
  assert.equal(seen.title, 'Drawbridge');
  // Overrides and embeddings of theirs; ours are isolates (FSI, PDI) and always closed.
  assert.doesNotMatch(seen.text, /[\u202a-\u202e\u2066\u2067\u200e\u200f\u200b\u2060\ufeff]/);
  for (const line of seen.text.split('\n')) {
    assert.equal(line.split('\u2068').length, line.split('\u2069').length, line);
  }
  const { origin } = new URL(page.url());
  assert.deepEqual(
    asked.filter(url => !url.startsWith(`${origin}/`) && !url.startsWith(origin.replace('http', 'ws'))),
    [],
  );
  assert.deepEqual(complaints, []);
}

test('the policy holds from inside: no markup, no code, no load, no frame', { skip: noBrowser }, async () => {
  const { page } = await openPage(browser, await bob.address());
  await page.getByRole('heading', { name: 'Chats', exact: true }).waitFor();
  const tried = await page.evaluate(async () => {
    // The debugger itself may evaluate code; what runs later is the page's.
    await new Promise(resolve => setTimeout(resolve, 50));
    const outcome = async (attempt: () => unknown): Promise<string> => {
      try {
        await attempt();
        return 'done';
      } catch (error) {
        return (error as Error).name;
      }
    };
    const loads = (element: HTMLElement): Promise<void> =>
      new Promise((resolve, reject) => {
        element.addEventListener('load', () => resolve());
        element.addEventListener('error', () => reject(new Error('blocked')));
        setTimeout(() => reject(new Error('blocked')), 2_000);
        document.body.append(element);
      });
    const make = <K extends keyof HTMLElementTagNameMap>(tag: K, set: (element: HTMLElementTagNameMap[K]) => void) => {
      const element = document.createElement(tag);
      set(element);
      return element;
    };
    return {
      markup: await outcome(() => void (document.body.innerHTML += '<b>x</b>')),
      written: await outcome(() => document.write('<b>x</b>')),
      // oxlint-disable-next-line no-new-func, typescript/no-implied-eval
      code: await outcome(() => new Function('return 1')()),
      policy: await outcome(() =>
        (
          globalThis as unknown as { trustedTypes: { createPolicy: (name: string, rules: object) => unknown } }
        ).trustedTypes.createPolicy('x', {}),
      ),
      request: await outcome(() => fetch('https://attacker.example/')),
      socket: await outcome(
        () =>
          new Promise((resolve, reject) => {
            const socket = new WebSocket('wss://attacker.example/');
            socket.addEventListener('open', resolve);
            socket.addEventListener('error', () => reject(new Error('blocked')));
          }),
      ),
      picture: await outcome(() =>
        loads(
          make('img', each => {
            each.src = 'https://attacker.example/x.png';
          }),
        ),
      ),
      data: await outcome(() =>
        loads(
          make('img', each => {
            each.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw=';
          }),
        ),
      ),
      style: await outcome(() =>
        loads(
          make('link', each => {
            each.rel = 'stylesheet';
            each.href = 'https://attacker.example/x.css';
          }),
        ),
      ),
      secret: document.cookie,
    };
  });
  assert.equal(tried.secret, '', 'no script gets the cookie');
  const { secret: _, ...attempts } = tried;
  for (const [name, outcome] of Object.entries(attempts)) assert.notEqual(outcome, 'done', name);
});
