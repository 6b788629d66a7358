// The chat page as people have it: `drawbridge chat --page` in a process of its own, and a real browser that opens its address.
// Knows nothing of what the tests do there.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import type { SdkNetwork } from '../scenarios/sdk-network.ts';

const mainFile = fileURLToPath(new URL('../../../apps/cli/src/main.ts', import.meta.url));
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** Why there is no browser here; false when there is one. */
export const noBrowser: string | false =
  executablePath === undefined ? 'Chromium is not installed (apt-get install chromium)' : false;
if (noBrowser !== false) console.warn(`SKIPPED: the chat page in a browser: ${noBrowser}`);

/** A microphone that hears beeps, where a page is let have it. */
const browserArguments = ['--no-sandbox', '--disable-dev-shm-usage', '--use-fake-device-for-media-stream'] as const;

export async function launchBrowser(): Promise<Browser> {
  // Chromium's own sandbox needs rights that test machines and root don't have; the pages are ours.
  return chromium.launch({ executablePath: executablePath!, args: [...browserArguments] });
}

export type PageProcess = {
  /** A fresh address, as Enter prints it. */
  readonly address: () => Promise<string>;
  readonly port: number;
  readonly kill: (signal: NodeJS.Signals) => Promise<void>;
  readonly errors: () => string;
};

export type PagePerson = {
  readonly identifier: string;
  readonly at: 'citadel' | 'skylark';
  /** Given: signed in without being asked. */
  readonly isSignedIn?: boolean;
  readonly port?: number;
  /** Tells several devices of one person apart. */
  readonly device?: string;
};

/** The command for somebody, with their own folder in the network's. */
export async function startPageProcess(network: SdkNetwork, person: PagePerson): Promise<PageProcess> {
  const { identifier, at, isSignedIn = true, port = 0, device = '' } = person;
  const provider = at === 'citadel' ? `${network.gatekeeper}/users` : network.provider;
  const folder = join(network.folder, 'pages', identifier + device);
  const args = ['chat', '--page', '--port', String(port), '--ca', network.ca, '--folder', folder];
  const known = ['--gatekeeper', network.gatekeeper, '--provider', provider, '--as', identifier];
  const secrets = isSignedIn
    ? { DRAWBRIDGE_PASSWORD: `the password of ${identifier}`, DRAWBRIDGE_PASSPHRASE: 'a long passphrase' }
    : {};
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', mainFile, ...args, ...known], {
    env: { ...process.env, DRAWBRIDGE_PASSWORD: '', DRAWBRIDGE_PASSPHRASE: '', ...secrets },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let out = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
  const nth = async (count: number): Promise<string> => {
    for (let tries = 0; tries < 600; tries++) {
      const found = out.match(/http:\/\/127\.0\.0\.1:\d+\/#\S+/g) ?? [];
      if (found.length >= count) return found[count - 1]!;
      assert.equal(child.exitCode, null, `the command ended: ${out}${errors}`);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    throw new Error(`no address was printed: ${out}${errors}`);
  };
  let asked = 1;
  const first = await nth(1);
  let isFirst = true;
  return {
    port: Number(new URL(first).port),
    address: async () => {
      if (isFirst) {
        isFirst = false;
        return first;
      }
      asked++;
      child.stdin.write('\n');
      return nth(asked);
    },
    kill: signal => end(child, ended, signal),
    errors: () => errors,
  };
}

async function end(child: ChildProcess, ended: Promise<void>, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  await ended;
}

export type Shown = { readonly page: Page; readonly context: BrowserContext; readonly complaints: string[] };

/** A browser of one's own at the address; `complaints` gathers what the page's console and policy say. */
export async function openPage(
  browser: Browser,
  address: string,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<Shown> {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1180, height: 760 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  watch(page, complaints);
  await page.goto(address);
  return { page, context, complaints };
}

/** Requests that fail while the process is away are the line's own business. */
export function watch(page: Page, complaints: string[]): void {
  page.on('console', message => {
    if (message.type() === 'error' && !/WebSocket connection|ERR_CONNECTION|ERR_INTERNET/.test(message.text())) {
      complaints.push(message.text());
    }
  });
  page.on('pageerror', error => complaints.push(String(error.stack)));
  page.setDefaultTimeout(20_000);
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Fails with what axe finds wrong on what is shown now, by WCAG 2.2 AA and its best practices. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  // The page's policy lets nothing in; the debugger may run what it likes.
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run: (options: object) => Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }>;
      };
    };
    const found = await axe.run({ resultTypes: ['violations'] });
    return found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(node => node.html).join(' | ')}`);
  });
  assert.deepEqual(violations, [], where);
}

/** Into the folder that `DRAWBRIDGE_SCREENSHOTS` names; nowhere without one. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env['DRAWBRIDGE_SCREENSHOTS'];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
