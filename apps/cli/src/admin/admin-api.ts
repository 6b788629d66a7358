// Asks the admin API of a running gatekeeper: where it is, with which token, and what its refusals mean in words.
// Knows nothing of commands.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, usageError } from '../command-error.ts';
import { readGatekeeperConfig } from '../gatekeeper-run.ts';

export type AdminFlags = { readonly url?: string; readonly config?: string; readonly tokenFile?: string };

export const tokenVariable = 'DRAWBRIDGE_ADMIN_TOKEN';
const defaultUrl = 'http://127.0.0.1:9320';
const loopbackHosts = ['127.0.0.1', '[::1]', 'localhost'];

export type AdminApi = {
  /** The answer's JSON; undefined when there is none. Throws a CommandError for what is refused. */
  readonly ask: (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => Promise<unknown>;
  /** The answer as it comes. */
  readonly open: (path: string) => Promise<AsyncIterable<Uint8Array>>;
};

/** Throws a CommandError when address or token can't be had. */
export function openAdminApi(flags: AdminFlags): AdminApi {
  const { url, token } = placeOf(flags);
  const send = async (method: string, path: string, body?: object): Promise<Response> => {
    let answer: Response;
    try {
      answer = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        redirect: 'error',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new CommandError(`no gatekeeper answers at ${url}`, 'start it, or name its admin listener with --url');
    }
    if (!answer.ok) throw await refusal(answer, url);
    return answer;
  };
  return {
    async ask(method, path, body) {
      const answer = await send(method, path, body);
      return answer.status === 204 ? undefined : await answer.json();
    },
    async open(path) {
      const { body } = await send('GET', path);
      if (body === null) throw new CommandError('the gatekeeper gave an empty answer', 'try again');
      return body;
    },
  };
}

function placeOf(flags: AdminFlags): { readonly url: string; readonly token: string } {
  const config = flags.config === undefined ? undefined : readGatekeeperConfig(flags.config);
  const admin = config?.listeners.admin;
  const host = admin === undefined || ['::', '0.0.0.0'].includes(admin.host) ? '127.0.0.1' : admin.host;
  const configured =
    admin === undefined ? defaultUrl : `http://${host.includes(':') ? `[${host}]` : host}:${admin.port}`;
  const url = (flags.url ?? configured).replace(/\/+$/, '');
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw usageError(`${url} is not a URL`, `give one such as ${defaultUrl}`);
  }
  if (parsed.protocol === 'http:' && !loopbackHosts.includes(parsed.hostname)) {
    throw usageError(
      `${url} would carry the token over the network in the clear`,
      `open a tunnel (ssh -L 9320:127.0.0.1:9320 HOST) and use ${defaultUrl}, or https`,
    );
  }
  return { url, token: tokenOf(flags, config?.dataFolder) };
}

function tokenOf(flags: AdminFlags, dataFolder: string | undefined): string {
  const fromVariable = process.env[tokenVariable] ?? '';
  const file = flags.tokenFile ?? (dataFolder === undefined ? undefined : join(dataFolder, 'admin-token'));
  const isFileMeant = flags.tokenFile !== undefined || fromVariable === '';
  if (file === undefined && fromVariable === '') {
    throw usageError('no token', `set ${tokenVariable}, or name a file with --token-file, or --config on the machine`);
  }
  const token = isFileMeant && file !== undefined ? readFileSync(file, 'utf8').trim() : fromVariable;
  if (!/^[\x21-\x7e]{32,512}$/.test(token)) {
    throw new CommandError('this is not a token of an admin', 'drawbridge gatekeeper admin add NAME --role ROLE');
  }
  return token;
}

/** Problem details as words. */
async function refusal(answer: Response, url: string): Promise<CommandError> {
  const problem: unknown = await answer.json().catch(() => undefined);
  if (typeof problem !== 'object' || problem === null || !('title' in problem) || !('detail' in problem)) {
    return new CommandError(`${url} answered with ${answer.status}`, 'name the admin listener of a gatekeeper');
  }
  return new CommandError(String(problem.title), String(problem.detail));
}
