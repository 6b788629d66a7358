// A raw network in a process of its own, to be killed: `node raw-network-child.ts <folder>`. Anna and Bob are enlisted the
// first time. Says on the IPC channel where it listens, and gives fresh proofs to whoever asks.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issuers } from '@drawbridge/gatekeeper/testing/control-fixture';
import { type Person, RawNetwork } from './raw-network.ts';
import type { RawTarget } from './raw-xmpp.ts';

/** What a test needs to know of somebody. */
export type ChildPerson = Pick<Person, 'identifier' | 'bareJid' | 'fullJid'> & { readonly jkt: string };
export type ChildReport =
  | { readonly kind: 'ready'; readonly target: RawTarget; readonly people: readonly ChildPerson[] }
  | { readonly kind: 'proof'; readonly proof: string };

const folder = process.argv[2]!;
const network = await RawNetwork.open({ fixture: { folder } });
const file = join(folder, 'people.json');
if (!existsSync(file)) {
  const people: ChildPerson[] = [];
  for (const name of ['anna', 'bob']) {
    const { identifier, bareJid, fullJid, sample } = await network.person(name);
    people.push({ identifier, bareJid, fullJid, jkt: sample.jkt });
  }
  writeFileSync(file, JSON.stringify(people));
}
const people = JSON.parse(readFileSync(file, 'utf8')) as ChildPerson[];
const report = (message: ChildReport): void => void process.send?.(message);
process.on('message', (identifier: string) => {
  const { jkt } = people.find(each => each.identifier === identifier)!;
  void network.fixture.proof(issuers.own, identifier, jkt).then(proof => report({ kind: 'proof', proof }));
});
process.on('disconnect', () => process.exit(0));
report({ kind: 'ready', target: network.target, people });
