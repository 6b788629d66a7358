// Carries the bytes of a file to the process, which asks for both halves of the session. A request of the older kind: the
// newer one does not tell how far it is. Knows nothing of chats.
import type { PageError, UnsentView } from '@drawbridge/cli/page/protocol';
import { sessionToken } from './connection.ts';

type Taken = { readonly ok: true; readonly file: UnsentView } | { readonly ok: false; readonly error: PageError };

const broken: Taken = { ok: false, error: { code: 'not-taken', text: '', retry: true } };

export function handOver(
  path: string,
  body: Blob,
  onPercent: (percent: number) => void,
  signal: AbortSignal,
): Promise<Taken | 'cancelled'> {
  return new Promise(resolve => {
    const request = new XMLHttpRequest();
    request.responseType = 'json';
    request.open('POST', path);
    request.setRequestHeader('authorization', `Bearer ${sessionToken() ?? ''}`);
    request.setRequestHeader('content-type', 'application/octet-stream');
    request.upload.addEventListener('progress', ({ loaded, total }) => onPercent(Math.floor((100 * loaded) / total)));
    request.addEventListener('load', () => {
      const taken = request.response as Taken | null;
      resolve(request.status === 200 && taken !== null ? taken : broken);
    });
    request.addEventListener('error', () => resolve(broken));
    request.addEventListener('abort', () => resolve('cancelled'));
    signal.addEventListener('abort', () => request.abort());
    if (signal.aborted) request.abort();
    else request.send(body);
  });
}
