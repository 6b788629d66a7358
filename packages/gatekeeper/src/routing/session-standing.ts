// Whether whoever has a stream may still have it: by what the account, its provider and its devices are now. Ends the sessions of
// those who may not. Knows nothing of how a proof is checked, nor of mailboxes.
// Source: docs/protocol/02-identity.md; docs/protocol/04-streams.md.
import type { Account, AccountEvent, Accounts } from '../enlistment/account.ts';
import type { Admitted } from '../listeners/admission.ts';
import type { Sessions } from './sessions.ts';

export type StandingDeps = {
  readonly accounts: Pick<Accounts, 'peek' | 'find'>;
  readonly sessions: Sessions;
  readonly mayReach: (from: Account, to: Account) => boolean;
  /** Whether this key of a provider is still in its set. */
  readonly keyStands: (provider: number, keyThumbprint: string) => boolean;
};

export class SessionStanding {
  readonly #deps: StandingDeps;

  constructor(deps: StandingDeps) {
    this.#deps = deps;
  }

  /** Of a proof that was checked before. */
  holds(admitted: Admitted): boolean {
    const { accounts, sessions } = this.#deps;
    const { interopId, proofsFromMs } = admitted.account;
    const now = accounts.peek(interopId);
    if (now !== undefined) return this.#isAdmitted(now, admitted, proofsFromMs);
    // Not in memory any more: admitted as it was when the proof was checked, and the session ends if that has changed.
    const end = (): void => sessions.ofDevice(admitted.device)?.end('not-authorized');
    accounts.find(interopId).then(found => {
      if (found === undefined || !this.#isAdmitted(found, admitted, proofsFromMs)) end();
    }, end);
    return this.#isAdmitted(admitted.account, admitted, proofsFromMs);
  }

  /** Another node has changed this account: its sessions here go by what it is now. */
  async recheck(interopId: string): Promise<void> {
    const { accounts, sessions } = this.#deps;
    const its = [...sessions.all()].filter(session => session.interopId === interopId);
    if (its.length === 0) return;
    const account = await accounts.find(interopId);
    for (const session of its) {
      if (account === undefined || account.proofsFromMs !== session.proofsFromMs) session.end('not-authorized');
      else if (!this.#isAdmitted(account, session, session.proofsFromMs)) session.end('policy-violation');
    }
  }

  /** Ends the sessions that an event of an account or a provider ends. */
  apply(event: AccountEvent): void {
    const { sessions } = this.#deps;
    switch (event.kind) {
      case 'account-changed':
      case 'provider-keys':
        return;
      case 'device-removed':
        sessions.ofDevice(event.device)?.end('not-authorized');
        return;
      case 'account-withdrawn':
        for (const device of event.devices) sessions.ofDevice(device)?.end('not-authorized');
        return;
      case 'account-suspended':
      case 'account-compromised':
        for (const session of [...sessions.all()]) {
          if (session.interopId !== event.interopId) continue;
          session.end(event.kind === 'account-suspended' ? 'policy-violation' : 'not-authorized');
        }
        return;
      case 'provider-suspended':
        for (const session of [...sessions.all()]) {
          if (session.provider === event.provider) session.end('policy-violation');
        }
        return;
      case 'keys-replaced':
        for (const session of [...sessions.all()]) {
          if (session.provider === event.provider && !event.stands(session.keyThumbprint))
            session.end('not-authorized');
        }
    }
  }

  /** An account that may not even reach itself is suspended, or its provider is. */
  #isAdmitted(account: Account, admitted: Pick<Admitted, 'device' | 'keyThumbprint'>, proofsFromMs: number): boolean {
    const { mayReach, keyStands } = this.#deps;
    return (
      mayReach(account, account) &&
      account.proofsFromMs === proofsFromMs &&
      keyStands(account.provider, admitted.keyThumbprint) &&
      account.devices.some(each => each.row === admitted.device.row)
    );
  }
}
