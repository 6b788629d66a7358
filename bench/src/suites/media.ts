// Question: what do encrypted files cost: to seal and open, to store and give out, and to pass through the media proxy?
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { runJob } from '../children.ts';
import type { MediaTarget, TransferResult } from '../load/media.ts';
import { hasCommand, loadCore, onCore, serverCore } from '../machine.ts';
import { check, type Figures, row, type Row, type SuiteResult } from '../results.ts';
import {
  type MediaServer,
  type NginxBuffering,
  startMediaGatekeeper,
  startMediaOrigin,
  startNginx,
  storeFile,
  tusHeaders,
} from '../servers/media.ts';
import { attempt, type SuiteContext } from './suite.ts';

const mebibyte = 1_048_576;
const name = 'a-file';

const proxies: Readonly<Record<NginxBuffering, string>> = {
  memory: 'nginx',
  off: 'nginx-unbuffered',
  default: 'nginx-default',
};

export async function mediaSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, repeats, say, folder } = context;
  mkdirSync(folder, { recursive: true });
  const nginx = context.peers.includes('nginx') && hasCommand('nginx');
  const openssl = hasCommand('openssl');
  if (!nginx) say('WITHOUT NGINX: the proxy and the origin are measured alone (--with-peers installs it)');
  if (!openssl) say("WITHOUT OPENSSL: sealing is measured beside Node's own primitives alone");
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.localhost']);
  const fileBytes = (quick ? 64 : 256) * mebibyte;
  const times = 4;
  const files = join(folder, 'files');
  mkdirSync(files, { recursive: true });
  writeRandom(join(files, name), fileBytes);

  const running: { stop: () => Promise<void> }[] = [];
  const start = async <T extends { stop: () => Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const server = await starting;
    running.push(server);
    return server;
  };
  const runs = new Map<string, { row: Figures; doubts: string[] }[]>();
  const keep = (key: string, figures: Figures, doubts: string[] = []): void => {
    runs.set(key, [...(runs.get(key) ?? []), { row: figures, doubts }]);
  };
  const ciphers = new Set<string>();
  const transfer = async (key: string, work: () => Promise<TransferResult>): Promise<void> => {
    const result = await attempt(context, key, work);
    if (result === undefined) return;
    if (result.cipher !== '') ciphers.add(result.cipher);
    const gibibytes = result.bytes / 2 ** 30;
    const cpuSecondsPerGib = result.serverCpuMs / 1_000 / gibibytes;
    const figures = {
      cpuSecondsPerGib,
      kernelSecondsPerGib: result.serverSystemMs / 1_000 / gibibytes,
      mibPerCpuSecond: 1_024 / cpuSecondsPerGib,
      mibPerSecond: result.bytes / mebibyte / result.seconds,
      serverCores: result.serverCores,
      otherCores: result.otherCores,
    };
    keep(key, figures, [
      ...(result.serverCores < 0.9 ? ['the server had time left: the rate is the load generator’s, CPU is not'] : []),
      ...(result.otherCores > 0.25 ? ['other processes used more than a quarter of a core'] : []),
    ]);
    say(`${key}: ${cpuSecondsPerGib.toFixed(2)} s of CPU per GiB, ${figures.mibPerSecond.toFixed(0)} MiB/s`);
  };

  try {
    const own = await start(startMediaOrigin(folder, pki, loadCore));
    const ownFile = await storeFile(own, pki.caFile, fileBytes);
    const behind = nginx ? await start(startNginx(folder, pki, loadCore, { kind: 'files', folder: files })) : own;
    const behindFile = nginx ? `${behind.url}/${name}` : ownFile;
    const gatekeeper = await start(startMediaGatekeeper(folder, pki, behindFile));
    const originPort = Number(new URL(behind.url).port);
    const proxied = new Map<string, MediaServer>();
    for (const [kind, subject] of Object.entries(proxies) as [NginxBuffering, string][]) {
      if (!nginx) break;
      const role = { kind: 'proxy', originPort, buffering: kind } as const;
      proxied.set(subject, await start(startNginx(folder, pki, serverCore, role)));
    }
    const measuredOrigin = await start(startMediaOrigin(folder, pki, serverCore));
    const measuredFile = await storeFile(measuredOrigin, pki.caFile, fileBytes);
    const served = nginx
      ? await start(startNginx(join(folder, 'served'), pki, serverCore, { kind: 'files', folder: files }))
      : undefined;
    const download = (target: Omit<MediaTarget, 'caFile'>): Promise<TransferResult> =>
      runJob({
        kind: 'download',
        target: { ...target, caFile: pki.caFile },
        sizeBytes: fileBytes,
        times,
        atOnce: 2,
      });

    for (let repeat = 0; repeat < repeats; repeat++) {
      say(`${repeat + 1}/${repeats}`);
      const href = gatekeeper.href(behindFile, fileBytes);
      const behindPid = behind.pid;
      await transfer('proxy drawbridge', () => download({ url: href, pid: gatekeeper.pid, behindPid }));
      for (const [subject, { pid, url }] of proxied) {
        await transfer(`proxy ${subject}`, () => download({ url: `${url}/${name}`, pid, behindPid }));
      }
      const origin = { pid: measuredOrigin.pid, behindPid: undefined };
      await transfer('origin-download drawbridge', () => download({ ...origin, url: measuredFile }));
      if (served !== undefined) {
        const target = { pid: served.pid, behindPid: undefined, url: `${served.url}/${name}` };
        await transfer('origin-download nginx', () => download(target));
      }
      await transfer('origin-upload drawbridge', () =>
        runJob({
          kind: 'upload',
          target: { ...origin, url: measuredOrigin.url, caFile: pki.caFile },
          headers: tusHeaders,
          sizeBytes: fileBytes,
          times: 2,
        }),
      );
      const sealing = await attempt(context, 'sealing', () => runJob({ kind: 'seal', mebibytes: quick ? 64 : 192 }));
      if (sealing !== undefined) {
        const { describe, encrypt, decrypt, nodeEncrypt, nodeDecrypt, nodeHmac, nodeSha256 } = sealing;
        keep('seal drawbridge', { mibPerCpuSecond: encrypt });
        keep('describe drawbridge', { mibPerCpuSecond: describe });
        keep('open drawbridge', { mibPerCpuSecond: decrypt });
        keep('seal node', { mibPerCpuSecond: together(nodeEncrypt, nodeHmac) });
        keep('describe node', { mibPerCpuSecond: together(nodeEncrypt, nodeHmac, nodeSha256) });
        keep('open node', { mibPerCpuSecond: together(nodeDecrypt, nodeHmac, nodeSha256) });
        say(
          `sealing: describe ${describe?.toFixed(0)}, encrypt ${encrypt?.toFixed(0)}, open ${decrypt?.toFixed(0)} MiB/s`,
        );
      }
      if (openssl) {
        const seconds = quick ? 1 : 2;
        const encrypt = opensslSpeed(['-evp', 'aes-256-cbc'], seconds);
        const decrypt = opensslSpeed(['-decrypt', '-evp', 'aes-256-cbc'], seconds);
        const hmac = opensslSpeed(['-hmac', 'sha256'], seconds);
        const sha256 = opensslSpeed(['-evp', 'sha256'], seconds);
        keep('seal openssl', { mibPerCpuSecond: together(encrypt, hmac) });
        keep('describe openssl', { mibPerCpuSecond: together(encrypt, hmac, sha256) });
        keep('open openssl', { mibPerCpuSecond: together(decrypt, hmac, sha256) });
      }
    }
  } finally {
    for (const server of running.reverse()) await server.stop();
  }

  const rows: Row[] = [...runs].map(([key, all]) => {
    const [what = '', subject = ''] = key.split(' ');
    return row(
      what,
      subject,
      all.map(each => each.row),
      all.flatMap(each => each.doubts),
    );
  });
  const ratio = (
    what: string,
    peer: string,
    figure: string,
    from: 'medians' | 'leastDisturbed' = 'medians',
  ): number | undefined => {
    const of = (subject: string): number | undefined =>
      rows.find(each => each.case === what && each.subject === subject)?.[from][figure];
    const [ours, theirs] = [of('drawbridge'), of(peer)];
    return ours === undefined || theirs === undefined ? undefined : ours / theirs;
  };
  const cpu = (what: string, from: 'medians' | 'leastDisturbed'): number | undefined =>
    ratio(what, 'nginx', 'cpuSecondsPerGib', from);
  return {
    suite: 'media',
    question: 'What do encrypted files cost: to seal and open, to store and give out, to pass through the media proxy?',
    expectation:
      'Sealing is AES-256-CBC and HMAC-SHA256 and nothing else: nine tenths of openssl. The proxy decrypts and encrypts ' +
      'TLS once each, as nginx does (0.3 s per GiB each way with AES-NI), and copies through JavaScript on top: twice nginx.',
    cases: {
      proxy: 'files through the media proxy of a whole gatekeeper, TLS 1.3 on both sides, two at once',
      'origin-download': 'files from the media origin, TLS 1.3, two at once; nginx serves the same file',
      'origin-upload': 'tus PATCH to the media origin, TLS 1.3, synced to disk every 16 MiB',
      seal: 'encrypting for the upload: AES-256-CBC, HMAC-SHA256 with a MAC for each chunk, checked; the ceiling is both',
      describe: 'the pass before: the same, and SHA-256 of the encrypted file; the ceiling is all three',
      open: 'checking and decrypting: HMAC-SHA256, SHA-256, AES-256-CBC; the ceiling is all three',
    },
    rows,
    checks: [
      ...check("sealing, of openssl's ceiling", ratio('seal', 'openssl', 'mibPerCpuSecond'), 'at-least', 0.8),
      ...check("opening, of openssl's ceiling", ratio('open', 'openssl', 'mibPerCpuSecond'), 'at-least', 0.8),
      ...check(
        'CPU of the proxy per GiB, of nginx',
        cpu('proxy', 'medians'),
        'at-most',
        2,
        cpu('proxy', 'leastDisturbed'),
      ),
      ...check(
        'CPU of a download per GiB, of nginx',
        cpu('origin-download', 'medians'),
        'at-most',
        3,
        cpu('origin-download', 'leastDisturbed'),
      ),
    ],
    notes: [
      `nginx: one worker, proxied answers in 16 buffers of 64 KiB and never on disk; nginx-unbuffered: proxy_buffering off ` +
        `with a buffer of 64 KiB; nginx-default: what Debian ships, which lets answers lie in a file.`,
      `Both proxies verify the origin's certificate and keep connections to it. ${nginx ? 'The origin is nginx' : 'The origin is ours'}, on the load generator's core. Ciphers seen by the client: ${[...ciphers].join(', ') || 'none'}.`,
      'CPU time is user and system, of all threads of the process; ceilings are 1 / (1/a + 1/b + …) of the primitives alone, openssl by `openssl speed -bytes 65536`, node by the same loops in the process that seals.',
      'MiB of the file: the padding, up to a twentieth, is encrypted on top.',
    ],
  };
}

/** What a core does when it must do all of these to each byte. */
function together(...rates: readonly (number | undefined)[]): number | undefined {
  if (rates.some(rate => rate === undefined)) return undefined;
  return 1 / rates.reduce<number>((sum, rate) => sum + 1 / rate!, 0);
}

/** MiB in each second of CPU. */
function opensslSpeed(what: readonly string[], seconds: number): number | undefined {
  const { command, args } = onCore(serverCore, 'openssl', [
    'speed',
    ...['-mr', '-seconds', String(seconds), '-bytes', '65536'],
    ...what,
  ]);
  // Without -elapsed it counts CPU time.
  const { stdout } = spawnSync(command, args, { encoding: 'utf8' });
  const rate = /^\+F:\d+:[^:]+:([0-9.]+)$/m.exec(stdout)?.[1] ?? /^\+F\d*:.*:([0-9.]+)$/m.exec(stdout)?.[1];
  return rate === undefined ? undefined : Number(rate) / mebibyte;
}

function writeRandom(path: string, bytes: number): void {
  const piece = randomBytes(mebibyte);
  const file = openSync(path, 'w');
  for (let left = bytes; left > 0; left -= piece.length) writeSync(file, piece, 0, Math.min(left, piece.length));
  closeSync(file);
}
