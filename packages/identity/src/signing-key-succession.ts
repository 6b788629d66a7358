// How a gatekeeper's long-term key is followed by another: each statement names the key in force and the backup that may
// follow it, and counts for whoever has pinned one of the keys that signed it.
// Knows nothing of where keys and pins are kept, nor of how statements travel.
// Source: docs/protocol/08-noise.md section 8.4; docs/decisions/0033-a-pinned-key-is-followed-by-its-backup.md.
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { importPinnedKey } from './static-key-certificate.ts';

export const successionLimits = {
  /** Statements that a gatekeeper gives, and that are looked at. */
  maxStatements: 16,
  /** Of one statement: the new key, the one before it, its backup. */
  maxSignatures: 3,
} as const;

/** Keys are Ed25519, base64url of 32 bytes. */
export type SigningKeyStatement = {
  /** Whole seconds since 1970; grows from statement to statement. */
  readonly since: number;
  readonly signingKey: string;
  /** Nobody uses it before it follows; what signs with it lies elsewhere. */
  readonly backupKey: string;
};

/** With signatures in base64url of 64 bytes; whose each is, a verifier finds out. */
export type SignedSigningKey = SigningKeyStatement & { readonly signatures: readonly string[] };

/** What a client holds a gatekeeper to. Without `backupKey` (accounts of 0.1.0) the key alone can be followed. */
export type PinnedKeys = {
  readonly signingKey: string;
  readonly backupKey?: string;
  /** Of the statement that they come from; 0: of none. */
  readonly since: number;
};

/** The domain is inside: no gatekeeper's statement serves another. */
function statementText(domain: string, { since, signingKey, backupKey }: SigningKeyStatement): Uint8Array {
  return Buffer.from(`drawbridge signing key 1\n${domain}\n${since}\n${signingKey}\n${backupKey}\n`, 'utf8');
}

/** The form in which keys are pinned and stated. */
export function encodeSigningKey(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'jwk' }).x!;
}

/** `by`: Ed25519 private keys, that of the statement's own key among them. */
export function signStatement(
  domain: string,
  statement: SigningKeyStatement,
  by: readonly KeyObject[],
): SignedSigningKey {
  const text = statementText(domain, statement);
  return { ...statement, signatures: by.map(key => sign(null, text, key).toString('base64url')) };
}

/**
 * The pins after these statements: each that is later than the pins, and signed by one of the two pinned keys, moves them.
 * All others change nothing: no statement takes a pin away. Never throws.
 */
export function followStatements(
  domain: string,
  pinned: PinnedKeys,
  statements: readonly SignedSigningKey[],
): PinnedKeys {
  let pins = pinned;
  for (const statement of [...statements].sort((a, b) => a.since - b.since)) {
    const { since, signingKey, backupKey, signatures } = statement;
    if (since <= pins.since || importPinnedKey(signingKey) === undefined) continue;
    const text = statementText(domain, statement);
    const signers = [pins.signingKey, pins.backupKey].flatMap(x => (x === undefined ? [] : (importPinnedKey(x) ?? [])));
    const isSigned = signers.some(key =>
      signatures.some(signature => verify(null, text, key, Buffer.from(signature, 'base64url'))),
    );
    if (isSigned) pins = { signingKey, backupKey, since };
  }
  return pins;
}

/** `compactKeys.succession` of a reference offer; what is malformed is left out. */
export function readStatements(value: unknown): SignedSigningKey[] {
  if (!Array.isArray(value)) return [];
  return value.slice(-successionLimits.maxStatements).flatMap((each: unknown) => {
    if (typeof each !== 'object' || each === null) return [];
    const { since, signingKey, backupKey, signatures } = each as Readonly<Record<string, unknown>>;
    if (typeof since !== 'number' || !Number.isSafeInteger(since) || since < 1) return [];
    if (typeof signingKey !== 'string' || typeof backupKey !== 'string' || !Array.isArray(signatures)) return [];
    if (!isKey(signingKey) || !isKey(backupKey)) return [];
    const signed = signatures.slice(0, successionLimits.maxSignatures).filter(text => typeof text === 'string');
    return [{ since, signingKey, backupKey, signatures: signed }];
  });
}

function isKey(x: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(x);
}
