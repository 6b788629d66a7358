// The sandbox's own HTTP: fresh ownership proofs for its accounts, the certificate authority, and a page that explains.
// Hands everything below an issuer's path to that issuer. For loopback alone: whoever reaches it may be anybody here.
import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { ProofTransport } from '@drawbridge/identity/ownership-proof';
import type { Provider } from '@drawbridge/provider/provider';
import { deviceKeyThumbprint, type SandboxAccount } from './sandbox-accounts.ts';

export const sandboxHttpLimits = { maxProofs: 10_000, defaultProofs: 1_000, proofsPerWrite: 50 } as const;

export type SandboxHttpOptions = {
  /** Audience of all proofs. */
  readonly gatekeeper: string;
  /** Names besides loopback's that a Host header may carry. */
  readonly domain: string;
  /** By the first segment of the path, such as `/skylark`. */
  readonly issuers: ReadonlyMap<string, Provider>;
  /** Who vouches for accounts of provider 0 and 1. */
  readonly issuerOf: (provider: number) => Provider;
  readonly accounts: () => readonly SandboxAccount[];
  /** PEM. */
  readonly ca: string;
  readonly page: () => string;
};

const transports: ReadonlySet<string> = new Set<ProofTransport>(['xmpp', 'compact', 'http']);

export function createSandboxHttp(options: SandboxHttpOptions): RequestListener {
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]', options.domain]);
  let byLocalpart: { readonly of: readonly SandboxAccount[]; readonly map: Map<string, SandboxAccount> } | undefined;

  function find(name: string): SandboxAccount | undefined {
    const accounts = options.accounts();
    const index = /^u(0|[1-9][0-9]{0,6})$/.exec(name)?.[1];
    if (index !== undefined) return accounts[Number(index)];
    if (byLocalpart?.of !== accounts) {
      byLocalpart = {
        of: accounts,
        map: new Map(accounts.map(each => [each.jid.slice(0, each.jid.indexOf('@')), each])),
      };
    }
    return byLocalpart.map.get(name);
  }

  async function proofOf(account: SandboxAccount, transport: ProofTransport): Promise<string> {
    const jkt = deviceKeyThumbprint(account.deviceKey);
    const issue = await options
      .issuerOf(account.provider)
      .issueProof(account.identifier, { audience: options.gatekeeper, jkt, transport });
    assert(issue.kind === 'issued', 'the sandbox asks its own issuers for its own people');
    return issue.proof;
  }

  async function sendProofs(
    response: ServerResponse,
    accounts: readonly SandboxAccount[],
    transport: ProofTransport,
  ): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    for (let at = 0; at < accounts.length && !response.destroyed; at += sandboxHttpLimits.proofsPerWrite) {
      const lines: string[] = [];
      for (const each of accounts.slice(at, at + sandboxHttpLimits.proofsPerWrite)) {
        const { account, jid, device } = each;
        lines.push(`${JSON.stringify({ account, jid, device, proof: await proofOf(each, transport) })}\n`);
      }
      if (!response.write(lines.join(''))) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      // Others want to be served between two pieces.
      else await new Promise(resolve => setImmediate(resolve));
    }
    response.end();
  }

  async function serve(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(response, 405, 'only GET is served here\n');
    const query = url.searchParams;
    const transport = query.get('transport') ?? 'xmpp';
    if (url.pathname === '/') return text(response, 200, options.page());
    if (url.pathname === '/sandbox/ca.pem') return text(response, 200, options.ca);
    if (url.pathname !== '/sandbox/proof' && url.pathname !== '/sandbox/proofs') {
      return text(response, 404, 'nothing is here: GET / says what there is\n');
    }
    if (!isTransport(transport)) return text(response, 400, 'transport is xmpp, compact or http\n');
    if (url.pathname === '/sandbox/proof') {
      const account = find(query.get('account') ?? '');
      if (account !== undefined) return text(response, 200, await proofOf(account, transport));
      const last = options.accounts().length - 1;
      return text(response, 404, `no such account: name one of u0 to u${last}, or the local part of its JID\n`);
    }
    const from = wholeNumber(query.get('from') ?? '0', Number.MAX_SAFE_INTEGER);
    const count = wholeNumber(
      query.get('count') ?? String(sandboxHttpLimits.defaultProofs),
      sandboxHttpLimits.maxProofs,
    );
    if (from === undefined || count === undefined) {
      return text(response, 400, `from and count are whole numbers, count at most ${sandboxHttpLimits.maxProofs}\n`);
    }
    await sendProofs(response, options.accounts().slice(from, from + count), transport);
  }

  return (request, response) => {
    // A web page whose name was made to lead here (DNS rebinding) carries that name.
    const host = (request.headers.host ?? '').replace(/:[0-9]+$/, '').toLowerCase();
    if (!hosts.has(host) && !host.endsWith('.localhost')) {
      return text(response, 421, 'this server answers to names of loopback only\n');
    }
    const url = URL.canParse(request.url ?? '', 'http://localhost') && new URL(request.url ?? '', 'http://localhost');
    if (url === false) return text(response, 400, 'no such path\n');
    const issuer = options.issuers.get(`/${url.pathname.split('/', 2)[1]}`);
    if (issuer !== undefined) return issuer.handler(request, response);
    serve(request, response, url).catch(() => {
      if (response.headersSent) response.destroy();
      else text(response, 500, 'the sandbox could not do that\n');
    });
  };
}

function isTransport(value: string): value is ProofTransport {
  return transports.has(value);
}

function wholeNumber(value: string, max: number): number | undefined {
  const number = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  return number <= max ? number : undefined;
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
