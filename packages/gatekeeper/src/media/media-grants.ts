// Media grants: a sealed text that names who may have which file fetched, of which size, until when. Nothing is stored: any
// process that has the key reads it, and who sees it in a log learns neither person nor file.
// Knows nothing of HTTP, fetching or who may have one. Source: docs/protocol/11-media.md section 11.6.
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InteropId } from '@drawbridge/wire/jid';
import { writeSecretFile } from '../wakeup/event-keys.ts';

export type MediaGrant = {
  readonly interopId: InteropId;
  readonly deviceId: number;
  /** In its normal spelling. */
  readonly url: string;
  /** Of the encrypted file, exactly. */
  readonly sizeBytes: number;
  readonly expiresAtMs: number;
};

export type MediaGrants = {
  /** At most 4,096 characters for URLs of at most 2,048. */
  readonly seal: (grant: MediaGrant) => string;
  readonly open: (
    text: string,
    nowMs: number,
  ) =>
    | { readonly kind: 'opened'; readonly grant: MediaGrant }
    | { readonly kind: 'refused'; readonly code: 'unknown' | 'expired' };
};

const version = 1;
const nonceBytes = 12;
const tagBytes = 16;
const associated = Buffer.from('drawbridge media grant 1');
const fileName = 'media-grant-key';

/** The file can't be used; the message says what to do. Nothing was changed. */
export class MediaKeyError extends Error {
  readonly code = 'media-key-unusable';
}

/**
 * Reads the key from the data folder, or makes one. To rotate it, remove the file and restart: grants under the old key
 * end, and clients ask again. Several processes share the file.
 */
export function openMediaGrantKey(dataFolder: string): KeyObject {
  const file = join(dataFolder, fileName);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new MediaKeyError(`${file} can't be read: mend its owner and mode`);
    }
    text = randomBytes(32).toString('base64url');
    writeSecretFile(file, `${text}\n`);
  }
  if (!/^[A-Za-z0-9_-]{43}$/.test(text)) {
    throw new MediaKeyError(`${file} holds no key: remove it, so that a new one is made`);
  }
  return createSecretKey(Buffer.from(text, 'base64url'));
}

/** AES-256-GCM with random nonces: 2^32 grants under one key, which is a hundred a second for a year. */
export function createMediaGrants(key: KeyObject): MediaGrants {
  return {
    seal({ interopId, deviceId, url, sizeBytes, expiresAtMs }) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associated);
      const text = cipher.update(JSON.stringify([interopId, deviceId, url, sizeBytes, expiresAtMs]), 'utf8');
      return Buffer.concat([Buffer.of(version), nonce, text, cipher.final(), cipher.getAuthTag()]).toString(
        'base64url',
      );
    },
    open(text, nowMs) {
      const refused = { kind: 'refused', code: 'unknown' } as const;
      const bytes = Buffer.from(text, 'base64url');
      if (bytes.length < 1 + nonceBytes + tagBytes || bytes[0] !== version) return refused;
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, 1 + nonceBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(associated).setAuthTag(bytes.subarray(-tagBytes));
      let plain: string;
      try {
        plain = decipher.update(bytes.subarray(1 + nonceBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8');
      } catch {
        return refused;
      }
      // Ours: the tag was right.
      const [interopId, deviceId, url, sizeBytes, expiresAtMs] = JSON.parse(plain) as [
        string,
        number,
        string,
        number,
        number,
      ];
      if (nowMs >= expiresAtMs) return { kind: 'refused', code: 'expired' };
      return { kind: 'opened', grant: { interopId, deviceId, url, sizeBytes, expiresAtMs } };
    },
  };
}
