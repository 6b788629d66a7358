// A person's session at a provider that runs the provider kit: sign up, sign in, fetch ownership proofs. Other providers
// bring their own `ProofSource`. Knows nothing of gatekeepers beyond the audience of a proof.
// Source: docs/protocol/03-http.md (provider HTTP), docs/protocol/02-ownership-proof.md.
import { ClientError } from '../errors.ts';
import { problemError } from './enlist.ts';
import { callJson, type HttpAnswer, type HttpTrust, isHttpsUrl, isRecord } from '../connection/http.ts';

export type ProofRequest = {
  /** The gatekeeper's issuer URL. */
  readonly audience: string;
  /** RFC 7638 thumbprint of the device key. */
  readonly jkt: string;
  readonly transport: 'xmpp' | 'compact' | 'http';
};

/** Gives a fresh ownership proof (a JWT) each time: every connection and every HTTP call uses up one. */
export type ProofSource = (request: ProofRequest) => Promise<string>;

export type ProviderAccount = {
  /** Base URL of the provider's HTTP. */
  readonly url: string;
  /** User-visible identifier. */
  readonly identifier: string;
  readonly password: string;
};

/** One account at one provider. Signs in when it must; the session is kept in memory only. */
export class ProviderSession {
  readonly #account: ProviderAccount;
  readonly #trust: HttpTrust;
  #session: string | undefined;
  #media: string | undefined;

  constructor(account: ProviderAccount, trust: HttpTrust) {
    this.#account = { ...account, url: account.url.replace(/\/+$/, '') };
    this.#trust = trust;
  }

  /** Creates the account. Rejects with `identifier-taken` when it is there. */
  async signUp(): Promise<void> {
    const answer = await this.#post('/v1/users', this.#credentials());
    if (answer.status === 409) throw new ClientError('identifier-taken');
    this.#check(answer);
  }

  async signIn(): Promise<void> {
    const answer = await this.#post('/v1/sessions', this.#credentials());
    if (answer.status === 401 || answer.status === 403) throw new ClientError('sign-in-refused');
    const { session, media } = this.#check(answer);
    if (typeof session !== 'string' || session === '') throw malformed();
    if (media !== undefined && (typeof media !== 'string' || !isHttpsUrl(media))) throw malformed();
    this.#session = session;
    this.#media = media;
  }

  /** A proof source for `openClient`. A session that ended is renewed once. */
  async fetchProof(request: ProofRequest): Promise<string> {
    if (this.#session === undefined) await this.signIn();
    let answer = await this.#post('/v1/ownership-proofs', request, this.#session);
    if (answer.status === 401) {
      await this.signIn();
      answer = await this.#post('/v1/ownership-proofs', request, this.#session);
    }
    const proof = this.#check(answer)['proof'];
    if (typeof proof !== 'string' || proof === '') throw malformed();
    return proof;
  }

  /** Where uploads are created (section 11.4); undefined when the provider has no media origin. */
  async mediaEndpoint(): Promise<string | undefined> {
    await this.session();
    return this.#media;
  }

  /** The session's token, for the provider alone; a new one when the last was refused. */
  async session(renew = false): Promise<string> {
    if (this.#session === undefined || renew) await this.signIn();
    return this.#session!;
  }

  #credentials(): { identifier: string; password: string } {
    return { identifier: this.#account.identifier, password: this.#account.password };
  }

  #post(path: string, body: unknown, bearer?: string): Promise<HttpAnswer> {
    const url = this.#account.url + path;
    return callJson({ method: 'POST', url, body, ...(bearer === undefined ? {} : { bearer }) }, this.#trust);
  }

  #check(answer: HttpAnswer): Readonly<Record<string, unknown>> {
    if (answer.problem !== undefined) throw problemError(answer.status, answer.problem, 'provider-refused');
    return isRecord(answer.body) ? answer.body : {};
  }
}

function malformed(): ClientError {
  return new ClientError('protocol-error', { detail: "the provider's answer is malformed" });
}
