// Session keys of a compact connection for `drawbridge inspect`, as SSLKEYLOGFILE does for TLS: development only.
// Whoever holds such a line and a capture of the connection reads its stanzas (not what is end-to-end encrypted).
// Line: `COMPACT <domain> <client's ephemeral key> <key client to gatekeeper> <key gatekeeper to client>`, keys in hex.
// Knows nothing of files or sockets.
import { copyBytes, type Suite } from '@drawbridge/noise/crypto';
import { compactPrologue } from './compact-login.ts';

/** Prologue, frame length, pattern byte: the client's ephemeral public key follows, in the clear. */
export const ephemeralOffset = compactPrologue.length + 3 + 1;
const ephemeralBytes = 32;

/** Watches one connection's keys being made. Use the suites that `watch` gives in its handshake and show it the client's bytes. */
export class CompactKeyRecorder {
  #clientBytes: Uint8Array = new Uint8Array(0);
  #keys: Uint8Array[] = [];

  watch(suite: Suite): Suite {
    return {
      ...suite,
      aead: key => {
        // The last two keys that a handshake makes are those of the transport, the first sender's first (Split).
        this.#keys = [...this.#keys.slice(-1), copyBytes(key)];
        return suite.aead(key);
      },
    };
  }

  /** The client's first bytes, in any pieces. */
  clientSent(chunk: Uint8Array): void {
    const wanted = ephemeralOffset + ephemeralBytes - this.#clientBytes.length;
    if (wanted > 0) this.#clientBytes = Buffer.concat([this.#clientBytes, chunk.subarray(0, wanted)]);
  }

  /** The line, once the transport is open. `fallback`: in XXfallback the gatekeeper is Noise's initiator. */
  line(domain: string, fallback: boolean): string {
    const ephemeral = Buffer.from(this.#clientBytes.subarray(ephemeralOffset)).toString('hex');
    const [first, second] = this.#keys.map(key => Buffer.from(key).toString('hex'));
    const [client, gatekeeper] = fallback ? [second, first] : [first, second];
    return `COMPACT ${domain} ${ephemeral} ${client} ${gatekeeper}`;
  }
}

/** The keys of one session, as logged. */
export type CompactSessionKeys = {
  /** The gatekeeper's: the codec's default domain. */
  readonly domain: string;
  readonly clientEphemeral: Uint8Array;
  readonly fromClient: Uint8Array;
  readonly fromServer: Uint8Array;
};

const hexKey = '[0-9a-f]{64}';
const linePattern = new RegExp(`^COMPACT ([a-z0-9.-]{1,253}) (${hexKey}) (${hexKey}) (${hexKey})$`);

/** Reads a key log; lines that are none of ours are skipped, as SSLKEYLOGFILE readers do. */
export function parseKeyLog(text: string): CompactSessionKeys[] {
  return text.split('\n').flatMap(line => {
    const found = linePattern.exec(line.trim());
    if (found === null) return [];
    const [, domain, ...keys] = found;
    const [clientEphemeral, fromClient, fromServer] = keys.map(key => Uint8Array.from(Buffer.from(key, 'hex')));
    return [{ domain: domain!, clientEphemeral: clientEphemeral!, fromClient: fromClient!, fromServer: fromServer! }];
  });
}
