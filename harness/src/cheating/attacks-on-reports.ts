// Attacks on reports: stamps that are false, missing or of another message, commitments that are altered or taken away, and
// answers to a report that are not so. The true gatekeeper behind the cheat says whether a report holds.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openStampSecret } from '@drawbridge/gatekeeper/reports/stamp-secret';
import { pastStampEpochs, stampEpochMs, Stamps } from '@drawbridge/gatekeeper/reports/stamps';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_E2EE, NS_REPORT } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { bytesOf, flipped, type Marks, marksOf, notFound, withAttributes, withMarks, withPayload } from './stanzas.ts';

/** Anna has written to Bob, so that her device is known to commit to what it says. */
async function talked(network: CheatingNetwork): Promise<[Person, Person]> {
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  await anna.say(bob, 'hello Bob');
  await bob.sees('hello Bob');
  return [anna, bob];
}

/** Whatever Anna says comes to Bob with these marks. */
function remark(
  network: CheatingNetwork,
  anna: Person,
  bob: Person,
  change: (marks: Marks, el: Element) => Marks,
): void {
  network.gatekeeper.lies.deliver = (el, who) =>
    who === bob.jid && attribute(el, 'from') === anna.jid ? [withMarks(el, change(marksOf(el), el))] : [el];
}

/** Whether the true gatekeeper has taken a report, having verified it. */
function isKept({ folder }: CheatingNetwork, id: string): boolean {
  const db = new DatabaseSync(join(folder, 'citadel', 'gatekeeper.sqlite'), { readOnly: true });
  const row = db.prepare('SELECT id FROM report WHERE id = ?').get(id);
  db.close();
  return row !== undefined;
}

/** Anna goes on as before, and what she says can be reported. */
async function goesOn(network: CheatingNetwork, anna: Person, bob: Person): Promise<void> {
  network.gatekeeper.lies = {};
  await anna.say(bob, 'as ever');
  await bob.sees('as ever');
  assert(isKept(network, await bob.report('as ever')));
}

/** A stamp such as the true gatekeeper makes, for whatever the cheat wants. */
function stampBy(network: CheatingNetwork): (message: Element, from: string, to: string, atMs: number) => Element {
  const stamps = new Stamps(openStampSecret(join(network.folder, 'citadel')));
  return (message, from, to, atMs) => {
    const commitment = bytesOf(marksOf(message).commitment);
    const mac = stamps.stamp({ from, to, id: attribute(message, 'id')!, commitment }, atMs);
    return element('stamp', NS_E2EE, { at: String(atMs) }, [Buffer.from(mac).toString('base64')]);
  };
}

const losses = (bob: Person, anna: Person): number => bob.lost.filter(author => author === anna.id).length;

export const falseReports: readonly Attack[] = [
  {
    name: 'stamps that are false, of another message, of another time and of other people: shown, and no such report is taken',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const stamp = stampBy(network);
      let first: Element | undefined;
      const tooOldMs = Date.now() - (pastStampEpochs + 1) * stampEpochMs;
      const lies: Readonly<Record<string, (stamp: Element, el: Element) => Element>> = {
        'not the gatekeeper’s': mark => flipped(mark),
        'of another message': () => first!,
        'of another time': mark => withAttributes(mark, { at: String(Number(attribute(mark, 'at')) - 1) }),
        'from the end of time': mark => withAttributes(mark, { at: '999999999999999' }),
        'of an old epoch': (_, el) => stamp(el, anna.id, bob.id, tooOldMs),
        'for another reader': (_, el) => stamp(el, anna.id, anna.id, Date.now()),
        'of another author': (_, el) => stamp(el, bob.id, bob.id, Date.now()),
      };
      remark(network, anna, bob, marks => {
        first ??= marks.stamp;
        return marks;
      });
      await anna.say(bob, 'rightly stamped');
      await bob.sees('rightly stamped');
      for (const [text, lie] of Object.entries(lies)) {
        remark(network, anna, bob, (marks, el) => ({ ...marks, stamp: lie(marks.stamp!, el) }));
        await anna.say(bob, text);
        await bob.sees(text);
        await assert.rejects(bob.report(text), { code: 'request-refused' }, text);
      }
      assert(isKept(network, await bob.report('rightly stamped')));
      await goesOn(network, anna, bob);
      return 'refused';
    },
  },
  {
    name: 'some messages come without a stamp: shown, and it is said that they can’t be reported',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob] = await talked(network);
      remark(network, anna, bob, ({ commitment }) => ({ commitment }));
      await anna.say(bob, 'without a stamp');
      await bob.sees('without a stamp');
      assert.equal(bob.canReport('without a stamp'), false);
      await assert.rejects(bob.report('without a stamp'), { code: 'not-reportable' });
      // What is sent again with a stamp is the same message, and has been read.
      assert.equal(bob.canReport('hello Bob'), true);
      await goesOn(network, anna, bob);
      return 'refused';
    },
  },
  {
    name: 'a commitment is altered on the way, or that of another message: it is not read, and the reader is told',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      let earlier: Element | undefined;
      remark(network, anna, bob, ({ commitment, stamp }) => {
        earlier = commitment;
        return { commitment: flipped(commitment!), stamp };
      });
      await anna.say(bob, 'with another commitment');
      await until(() => losses(bob, anna) === 1, 'Bob is told');
      remark(network, anna, bob, ({ stamp }) => ({ commitment: earlier, stamp }));
      await anna.say(bob, 'with the one before');
      await until(() => losses(bob, anna) === 2, 'Bob is told again');
      assert.equal(bob.shown.length, 1);
      await goesOn(network, anna, bob);
      return 'told';
    },
  },
  {
    name: 'a commitment is taken away: whoever has committed once can’t stop to, and the reader is told',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      remark(network, anna, bob, () => ({}));
      await anna.say(bob, 'as if of 0.1.0');
      await until(() => losses(bob, anna) === 1, 'Bob is told');
      // Anna's session is told that nobody stamps: she commits to nothing, and Bob's session is as before.
      network.gatekeeper.lies = {
        enabled: (enabled, who) => (who === anna.jid ? { ...enabled, children: [] } : enabled),
      };
      await anna.client.disconnect();
      await anna.client.connect();
      await anna.say(bob, 'and never committed');
      await until(() => losses(bob, anna) === 2, 'Bob is told again');
      assert.equal(bob.shown.length, 1);
      network.gatekeeper.lies = {};
      await anna.client.disconnect();
      await anna.client.connect();
      await goesOn(network, anna, bob);
      return 'told';
    },
  },
  {
    name: 'the gatekeeper stamps for nobody any more: everything is read, and none of it is said to be reportable',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await talked(network);
      network.gatekeeper.lies = { enabled: enabled => ({ ...enabled, children: [] }) };
      for (const { client } of [anna, bob]) {
        await client.disconnect();
        await client.connect();
      }
      await anna.say(bob, 'without stamps');
      await bob.sees('without stamps');
      assert.equal(bob.canReport('without stamps'), false);
      assert(isKept(network, await bob.report('hello Bob')), 'what was stamped before still can be');
      return 'delivered';
    },
  },
  {
    name: 'A’s message comes as C’s, rightly stamped as that: it is not read, and C can’t be reported for it',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const clara = await network.person('clara');
      await clara.say(bob, 'hello, I am Clara');
      await bob.sees('hello, I am Clara');
      const stamp = stampBy(network);
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who !== bob.jid || attribute(el, 'from') !== anna.jid) return [el];
        const { commitment } = marksOf(el);
        const asClaras = withAttributes(el, { from: clara.jid });
        return [withMarks(asClaras, { commitment, stamp: stamp(el, clara.id, bob.id, Date.now()) })];
      };
      await anna.say(bob, 'something bad');
      await until(() => losses(bob, clara) === 1, 'Bob is told');
      const rows = await bob.client.chats.messages({ chat: { interopId: clara.id }, limit: 50 });
      const lost = rows.find(({ message }) => message.kind === 'lost')!.message;
      assert.equal(bob.client.reports.canReport(lost), false);
      await assert.rejects(bob.client.reports.send({ message: lost, category: 'abuse' }), { code: 'not-reportable' });
      await goesOn(network, anna, bob);
      return 'told';
    },
  },
  {
    name: 'a message that was reported comes again under another stamp: what proves it stays, and the report is the same',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await talked(network);
      let came: Element | undefined;
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who === bob.jid && attribute(el, 'from') === anna.jid) came = el;
        return [el];
      };
      await anna.say(bob, 'reported');
      await bob.sees('reported');
      const id = await bob.report('reported');
      const { commitment, stamp } = marksOf(came!);
      for (const marks of [{ commitment, stamp: flipped(stamp!) }, { commitment: flipped(commitment!), stamp }, {}])
        network.gatekeeper.give(bob.jid, withMarks(withAttributes(came!, { id: 'again' }), marks));
      network.gatekeeper.give(bob.jid, withMarks(came!, { commitment, stamp: flipped(stamp!) }));
      await anna.say(bob, 'behind it');
      await bob.sees('behind it');
      assert.equal(await bob.report('reported'), id);
      assert(isKept(network, id));
      return 'delivered';
    },
  },
  {
    name: 'a report is answered falsely: refused, or not an answer; sent again it is taken, once',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob] = await talked(network);
      await anna.say(bob, 'to be reported');
      await bob.sees('to be reported');
      const reported = (id: string): Element => element('reported', NS_REPORT, { id });
      const answers: readonly { readonly code: string; readonly lie: (answer: Element) => Element }[] = [
        { code: 'not-found', lie: notFound },
        { code: 'protocol-error', lie: answer => withPayload(answer, reported('')) },
        { code: 'protocol-error', lie: answer => withPayload(answer, reported('<b>your id</b>')) },
        { code: 'protocol-error', lie: answer => withPayload(answer, element('taken', NS_REPORT)) },
        { code: 'protocol-error', lie: answer => ({ ...answer, children: [] }) },
      ];
      for (const { code, lie } of answers) {
        network.gatekeeper.lies.answer = (asked, answer) => (asked.ns === NS_REPORT ? lie(answer) : answer);
        await assert.rejects(bob.report('to be reported'), { code });
      }
      network.gatekeeper.lies = {};
      const id = await bob.report('to be reported');
      assert(isKept(network, id));
      assert.equal(await bob.report('to be reported'), id);
      return 'refused';
    },
  },
];
