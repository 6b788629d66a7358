// Who asks over HTTP: takes the ownership proof of a request, uses it up, and finds the enlistment that it speaks for.
// Knows nothing of what is asked. Why a proof is refused goes to the log; the peer learns one word.
// Source: docs/protocol/02, docs/protocol/03.
import type { OwnershipProof } from '@drawbridge/identity/ownership-proof';
import type { FastifyRequest } from 'fastify';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Control, ControlLog } from '../control.ts';
import type { Account, Device } from '../enlistment/account.ts';
import type { ProblemCode } from './problems.ts';

export type Proven = OwnershipProof | 'proof-refused' | 'proof-not-judged' | 'storage-unavailable';

export type Authorised = { readonly account: Account; readonly device: Device; readonly proof: OwnershipProof };

export class ProofGate {
  readonly #control: Pick<Control, 'verifyProof' | 'registry' | 'accounts'>;
  readonly #log: ControlLog;
  readonly #nowMs: () => number;

  constructor(control: Pick<Control, 'verifyProof' | 'registry' | 'accounts'>, log: ControlLog, nowMs: () => number) {
    this.#control = control;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** What a proof proves, used up. Why it is refused goes to the log, the peer learns one word. */
  async proven(token: string): Promise<Proven> {
    const verdict = await this.#control.verifyProof(token, 'http', this.#nowMs());
    if (verdict.kind === 'verified' && this.#control.registry.isLive(verdict.proof.providerNumber))
      return verdict.proof;
    const code = verdict.kind === 'refused' ? verdict.code : 'provider-suspended';
    this.#log('info', 'proof-refused', { code });
    // Our own trouble: a fresh proof would not help.
    if (code === 'key-set-unavailable') return 'proof-not-judged';
    return code === 'replay-check-failed' ? 'storage-unavailable' : 'proof-refused';
  }

  /** The enlistment that the bearer proof and the path both name. A device that isn't enlisted has no say. */
  async authorised(request: FastifyRequest, interopId: InteropId): Promise<Authorised | ProblemCode> {
    const token = /^Bearer ([A-Za-z0-9._-]{1,8192})$/i.exec(request.headers.authorization ?? '')?.[1];
    const proof = token === undefined ? 'proof-refused' : await this.proven(token);
    if (typeof proof === 'string') return proof;
    const account = await this.#control.accounts.findByIdentifier(proof.providerNumber, proof.subject);
    if (account?.interopId !== interopId) return 'enlistment-unknown';
    if (proof.issuedAtMs < account.proofsFromMs) return 'proof-refused';
    const device = account.devices.find(known => known.thumbprint === proof.jkt);
    return device === undefined ? 'proof-refused' : { account, device, proof };
  }
}
