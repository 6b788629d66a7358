// Nobody tells by the work that a question costs whether a person exists, has opted in, or has refused whoever asks: counted in
// calls of storage, and in statements below them. Times would depend on the machine.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { after, test } from 'node:test';
import { type Element, element } from '@drawbridge/wire/element';
import { everybodyOf } from '@drawbridge/wire/jid';
import { NS_CONSENT, NS_DIRECTORY, NS_KEYS } from '@drawbridge/wire/namespaces';
import { type IqAnswer, iqKey } from '../routing/iq.ts';
import { accountReads } from '../storage/sqlite/account-commands.ts';
import { domain, type Fixture, openFixture } from '../testing/control-fixture.ts';

const opened: Fixture[] = [];
after(async () => {
  for (const fixture of opened) await fixture.close();
});
type Person = Awaited<ReturnType<Fixture['enlist']>>;
const jidOf = ({ account }: Person): string => `${account.interopId}@${domain}`;
const wide = { burst: 10_000, refillSeconds: 0.001 };
const budgets = { lookupsPerRequester: wide, bundlesPerRequester: wide, bundlesPerPair: wide, bundlesPerTarget: wide };

async function ask({ control, clock }: Fixture, who: Person, type: 'get' | 'set', payload: Element): Promise<IqAnswer> {
  const account = (await control.accounts.find(who.account.interopId))!;
  const handler = control.iqHandlers.get(iqKey(type, payload.ns, payload.name))!;
  return await handler({ type, payload, account, device: who.device, nowMs: clock.nowMs });
}

/** People whom the asker finds, and people whom nobody finds: each in every way. */
async function world() {
  const fixture = await openFixture({ config: { policy: { requests: 'across-providers' }, budgets } });
  opened.push(fixture);
  const asker = await fixture.enlist(1, 'asker');
  const own = async (name: string, isOpen: boolean): Promise<Person> => {
    const person = await fixture.enlist(0, name);
    if (isOpen) await fixture.control.enlistment.setOptIn(person.account, 1, true);
    return person;
  };
  const decide = (by: Person, verb: string, jid: string): Promise<IqAnswer> =>
    ask(fixture, by, 'set', element(verb, NS_CONSENT, { jid }));
  const there: Record<string, Person> = {};
  for (const name of ['undecided', 'accepts', 'denies', 'blocks', 'blocks all']) there[name] = await own(name, true);
  await decide(there['accepts']!, 'accept', jidOf(asker));
  await decide(there['denies']!, 'deny', jidOf(asker));
  await decide(there['blocks']!, 'block', jidOf(asker));
  await decide(there['blocks all']!, 'block', `${everybodyOf(1)}@${domain}`);
  const away: Record<string, Person | undefined> = { nobody: undefined };
  for (const name of ['not opted in', 'suspended', 'by links alone'])
    away[name] = await own(name, name !== 'not opted in');
  const { interopId } = away['suspended']!.account;
  await fixture.control.enlistment.setStatus(interopId, 'suspended', 'rosa', fixture.clock.nowMs);
  await ask(fixture, away['by links alone']!, 'set', element('require-link', NS_CONSENT, { required: 'true' }));
  return { fixture, asker, there, away };
}

/** The commands of storage that are asked from here on. */
function countCalls({ store }: Fixture): string[] {
  const calls: string[] = [];
  const read = store.read.bind(store);
  store.read = ((command: Parameters<typeof read>[0], args: never) => {
    // Not what goes on by itself: events that are due, health.
    if (/^(account|contact|keys|link|manifest)/.test(command)) calls.push(command);
    return read(command, args);
  }) as typeof store.read;
  return calls;
}

const questions: Readonly<Record<string, (name: string, jid: string) => ['get' | 'set', Element]>> = {
  lookup: identifier => ['get', element('lookup', NS_DIRECTORY, { provider: domain, identifier })],
  identify: (_name, jid) => ['get', element('identify', NS_DIRECTORY, { jid })],
  devices: (_name, jid) => ['get', element('devices', NS_KEYS, { jid })],
  manifest: (_name, jid) => ['get', element('manifest', NS_KEYS, { jid })],
  bundle: (_name, jid) => ['get', element('bundle', NS_KEYS, { jid })],
  accept: (_name, jid) => ['set', element('accept', NS_CONSENT, { jid })],
  report: (_name, jid) => ['set', element('block', NS_CONSENT, { jid })],
};

test('whoever is out of reach costs the same calls of storage and gets the same words as nobody', async () => {
  const { fixture, asker, away } = await world();
  const calls = countCalls(fixture);
  for (const [what, question] of Object.entries(questions)) {
    const seen = new Map<string, string>();
    for (const [name, person] of Object.entries(away)) {
      const jid = person === undefined ? `0-${'z'.repeat(26)}@${domain}` : jidOf(person);
      // In memory, whatever was changed before.
      await fixture.control.accounts.find(asker.account.interopId);
      calls.length = 0;
      const answer = await ask(fixture, asker, ...question(name, jid));
      seen.set(name, JSON.stringify([answer, calls]));
    }
    assert.equal(new Set(seen.values()).size, 1, `${what}: ${[...seen].join('\n')}`);
  }
});

test('whoever has refused the asker costs the same calls and answers as whoever has not', async () => {
  const { fixture, asker, there } = await world();
  const calls = countCalls(fixture);
  for (const [what, question] of Object.entries(questions).filter(([name]) => name !== 'accept' && name !== 'report')) {
    const seen = new Map<string, string>();
    for (const [name, person] of Object.entries(there)) {
      // In memory, whatever was changed before.
      await fixture.control.accounts.find(asker.account.interopId);
      calls.length = 0;
      const answer = await ask(fixture, asker, ...question(name, jidOf(person)));
      assert.equal(answer.kind, 'result', `${what} ${name}`);
      seen.set(name, JSON.stringify(calls));
    }
    assert.equal(new Set(seen.values()).size, 1, `${what}: ${[...seen].join('\n')}`);
  }
});

test('below the calls: the same statements for somebody and nobody', async () => {
  const { fixture, asker, there, away } = await world();
  const db = new DatabaseSync(join(fixture.folder, 'gatekeeper.sqlite'), { readOnly: true });
  const statements: string[] = [];
  const counted = new Proxy(db, {
    get(target, name) {
      if (name !== 'prepare') return Reflect.get(target, name) as unknown;
      return (sql: string) => {
        const statement = target.prepare(sql);
        const noted = (): typeof statement => {
          statements.push(sql);
          return statement;
        };
        return {
          get: (...values: SQLInputValue[]) => noted().get(...values),
          all: (...values: SQLInputValue[]) => noted().all(...values),
        };
      };
    },
  });
  const { row, contacts } = asker.account;
  const work = (interopId: string): string => {
    statements.length = 0;
    accountReads.accountFind(counted, { interopId, askerRow: row, onlyAbout: contacts.key });
    return statements.join('\n');
  };
  const nobody = work(`0-${randomBytes(8).toString('hex')}`);
  assert.match(nobody, /FROM device[^]*FROM opt_in[^]*FROM contact/);
  for (const person of [...Object.values(there), ...Object.values(away)]) {
    if (person !== undefined) assert.equal(work(person.account.interopId), nobody);
  }
  db.close();
});
