// Signatures of identity keys are checked in a worker: an enlistment may carry a hundred of them, 10 ms of work. What waits is
// bounded, in bytes, in all and for each provider, and providers take turns.
// Knows nothing of what is signed. Source: threat 12 of docs/threat-model.md, docs/decisions/0037.
import { Worker } from 'node:worker_threads';

/** One identity key (serialised form) and what it is said to have signed. */
export type SignatureJob = { readonly identityKey: Uint8Array; readonly signed: readonly Signed[] };
export type Signed = { readonly message: Uint8Array; readonly signature: Uint8Array };

export type SignatureChecks = {
  /**
   * Whether each of these is signed by the key, in their order. `busy`: too much waits already, for this provider or in
   * all; nothing was checked. Rejects with a SignatureChecksEnded: it was closed, or the worker broke, which no input should
   * make it do.
   */
  readonly check: (provider: number, job: SignatureJob) => Promise<readonly boolean[] | 'busy'>;
  /** Ends the worker; what waits is rejected. */
  readonly close: () => Promise<void>;
};

/** Nothing was checked. */
export class SignatureChecksEnded extends Error {
  readonly code: 'closed' | 'worker-stopped';
  constructor(code: SignatureChecksEnded['code']) {
    super(code === 'closed' ? 'signatures are checked no more' : 'the worker that checks signatures stopped');
    this.code = code;
  }
}

export const signatureCheckLimits = {
  /** Bytes of jobs that wait, in all and of one provider. A full enlistment has 165 KiB. */
  maxWaitingBytes: 16 * 1024 * 1024,
  maxWaitingBytesPerProvider: 4 * 1024 * 1024,
  /** Jobs in the worker's hands: one that it works at, one for when it is done. */
  maxUnderWay: 2,
} as const;

/** What the worker is sent: key, message, signature, message, signature, … in one piece of memory that moves over. */
export type PackedJob = { readonly bytes: Uint8Array<ArrayBuffer>; readonly lengths: readonly number[] };

type Waiting = {
  readonly provider: number;
  readonly packed: PackedJob;
  readonly sizeBytes: number;
  readonly done: PromiseWithResolvers<readonly boolean[] | 'busy'>;
};

const fromSource = import.meta.url.endsWith('.ts');
const workerProgram = new URL(fromSource ? './signature-worker.ts' : './signature-worker.js', import.meta.url);

/** The worker starts with the first job. `program`: another one in its place, for tests of its end. */
export function createSignatureChecks(program = workerProgram): SignatureChecks {
  return new Checks(program);
}

class Checks implements SignatureChecks {
  readonly #program: URL;
  /** By provider, in the order of the round. */
  readonly #waiting = new Map<number, Waiting[]>();
  readonly #waitingBytes = new Map<number, number>();
  #allWaitingBytes = 0;
  #underWay: Waiting[] = [];
  #worker: Worker | undefined;
  #closed = false;

  constructor(program: URL) {
    this.#program = program;
  }

  readonly check = (provider: number, job: SignatureJob): Promise<readonly boolean[] | 'busy'> => {
    if (this.#closed) return Promise.reject(new SignatureChecksEnded('closed'));
    const packed = pack(job);
    const sizeBytes = packed.bytes.length;
    const own = (this.#waitingBytes.get(provider) ?? 0) + sizeBytes;
    const { maxWaitingBytes, maxWaitingBytesPerProvider } = signatureCheckLimits;
    if (own > maxWaitingBytesPerProvider || this.#allWaitingBytes + sizeBytes > maxWaitingBytes) {
      return Promise.resolve('busy');
    }
    const waiting: Waiting = { provider, packed, sizeBytes, done: Promise.withResolvers() };
    this.#count(waiting, sizeBytes);
    const line = this.#waiting.get(provider);
    if (line === undefined) this.#waiting.set(provider, [waiting]);
    else line.push(waiting);
    this.#next();
    return waiting.done.promise;
  };

  readonly close = async (): Promise<void> => {
    this.#closed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#fail(new SignatureChecksEnded('closed'));
    for (const waiting of [...this.#waiting.values()].flat()) {
      waiting.done.reject(new SignatureChecksEnded('closed'));
    }
    this.#waiting.clear();
    await worker?.terminate();
  };

  #count({ provider }: Waiting, bytes: number): void {
    const own = (this.#waitingBytes.get(provider) ?? 0) + bytes;
    if (own === 0) this.#waitingBytes.delete(provider);
    else this.#waitingBytes.set(provider, own);
    this.#allWaitingBytes += bytes;
  }

  #next(): void {
    while (this.#underWay.length < signatureCheckLimits.maxUnderWay) {
      const waiting = this.#take();
      if (waiting === undefined) break;
      this.#worker ??= this.#start();
      this.#worker.postMessage(waiting.packed, [waiting.packed.bytes.buffer]);
      this.#underWay.push(waiting);
    }
    // It keeps the process alive only while somebody waits for it.
    if (this.#underWay.length > 0) this.#worker?.ref();
    else this.#worker?.unref();
  }

  /** One of the provider whose turn it is, which then goes to the end of the round. */
  #take(): Waiting | undefined {
    for (const [provider, line] of this.#waiting) {
      const waiting = line.shift()!;
      this.#waiting.delete(provider);
      if (line.length > 0) this.#waiting.set(provider, line);
      return waiting;
    }
    return undefined;
  }

  #start(): Worker {
    const execArgv = fromSource ? ['--conditions=drawbridge-source'] : [];
    const worker = new Worker(this.#program, { execArgv, name: 'signatures' });
    worker.on('message', (results: readonly boolean[]) => {
      const first = this.#underWay.shift()!;
      this.#count(first, -first.sizeBytes);
      first.done.resolve(results);
      this.#next();
    });
    // A defect: those whose jobs it had are told so, and the next job starts another worker.
    worker.on('error', () => {});
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#fail(new SignatureChecksEnded('worker-stopped'));
      this.#next();
    });
    return worker;
  }

  #fail(error: SignatureChecksEnded): void {
    for (const waiting of this.#underWay.splice(0)) {
      this.#count(waiting, -waiting.sizeBytes);
      waiting.done.reject(error);
    }
  }
}

/** A copy: what came in is a view of a larger frame or body, which nobody has to keep. */
function pack({ identityKey, signed }: SignatureJob): PackedJob {
  const parts = [identityKey, ...signed.flatMap(({ message, signature }) => [message, signature])];
  const lengths = parts.map(part => part.length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, lengths };
}
