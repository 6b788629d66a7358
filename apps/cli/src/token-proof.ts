// Fetches a proof from a running sandbox. Knows nothing of what it says.
import { CommandError, usageError } from './command-error.ts';

export async function fetchSandboxProof(flags: {
  readonly sandbox: string;
  readonly account: string;
  readonly transport: string;
}): Promise<string> {
  const { sandbox, account, transport } = flags;
  if (!URL.canParse(sandbox)) throw usageError('--sandbox is no URL', 'give one such as http://127.0.0.1:5227');
  const url = new URL('/sandbox/proof', sandbox);
  url.search = new URLSearchParams({ account, transport }).toString();
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
  if (response === undefined) {
    throw new CommandError(`no sandbox answers at ${sandbox}`, 'start one with `drawbridge sandbox`, or name its port');
  }
  const text = (await response.text()).trim();
  if (!response.ok) throw new CommandError(text.slice(0, 300), 'the page at / of the sandbox says what there is');
  return text;
}
