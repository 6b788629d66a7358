// What ten accounts can do on their streams: cheap questions, answers that nobody reads, floods of messages, keys drained.
import { type Attack, type Crowd, pause, repeat } from './attack.ts';
import { messageText } from './honest.ts';
import type { Person } from './network.ts';

const ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";

/** What an attacker has under way at most: it floods the gatekeeper, not itself. */
const maxWaiting = 2_000;
const maxUnsentBytes = 2 * 1024 * 1024;

/** Pings without pause, each answered and acknowledged. */
export const cheapIqs: Attack = crowd =>
  repeat(crowd, 2, async lane => {
    const stream = await crowd.open(crowd.accounts[lane]!, { onStanza: () => answered++ });
    let answered = 0;
    let asked = 0;
    while (stream.isOpen && !crowd.stopped()) {
      if (asked - answered > maxWaiting) {
        await pause(2);
        continue;
      }
      stream.send(ping.repeat(100));
      asked += 100;
      crowd.count('questions', 100);
      await pause(0);
    }
    stream.cut();
  });

/**
 * Questions whose answers are never acknowledged, nor read by one of the two. Each comes alone with much white space, so
 * that whatever is kept of it could keep all of that.
 */
export const unreadAnswers: Attack = crowd =>
  repeat(crowd, 2, async lane => {
    const stream = await crowd.open(crowd.accounts[2 + lane]!, { onAsked: () => {} });
    if (lane === 0) stream.stall();
    for (let i = 0; stream.isOpen && !crowd.stopped(); i++) {
      const id = `${i}`.padEnd(60, 'x');
      stream.send(`<iq type='get' id='${id}'><ping xmlns='urn:xmpp:ping'/></iq>${' '.repeat(60_000)}`);
      crowd.count('questions');
      do await pause(5);
      while (stream.unsentBytes > maxUnsentBytes && stream.isOpen && !crowd.stopped());
    }
    stream.cut();
  });

function flood(crowd: Crowd, from: Person, to: Person, bytes: number): Promise<void> {
  const ciphertext = Buffer.alloc(bytes, 9).toString('base64');
  return repeat(crowd, 1, async () => {
    let handled = 0;
    const stream = await crowd.open(from, { onAcknowledged: count => (handled = count) });
    for (let i = 0; stream.isOpen && !crowd.stopped(); i++) {
      stream.send(messageText(from, to, `f${i}`, ciphertext));
      crowd.count('messages');
      if (i % 50 === 49) {
        stream.ask();
        await pause(0);
      }
      const isBusy = (): boolean => i - handled > maxWaiting || stream.unsentBytes > maxUnsentBytes;
      while (isBusy() && stream.isOpen && !crowd.stopped()) {
        stream.ask();
        await pause(20);
      }
    }
    stream.cut();
  });
}

/** Messages without pause: to somebody who is there, to somebody who is not, and large ones to one of their own who keeps none. */
export const messageFlood: Attack = async crowd => {
  const { accounts, victims } = crowd;
  const deaf = accounts[7]!;
  await Promise.all([
    flood(crowd, accounts[4]!, victims.there, 300),
    flood(crowd, accounts[5]!, victims.away, 2_000),
    flood(crowd, accounts[6]!, deaf, 60_000),
    // Is there, and acknowledges nothing.
    repeat(crowd, 1, async () => {
      const stream = await crowd.open(deaf, { onAsked: () => {} });
      while (stream.isOpen && !crowd.stopped()) await pause(100);
      stream.cut();
    }),
  ]);
};

/** The prekeys of honest people, as fast as they are given. */
export const bundleDrain: Attack = crowd =>
  repeat(crowd, 1, async () => {
    let answered = 0;
    const stream = await crowd.open(crowd.accounts[8]!, { onStanza: () => answered++ });
    for (let asked = 0; stream.isOpen && !crowd.stopped(); asked++) {
      const victim = asked % 2 === 0 ? crowd.victims.there : crowd.victims.away;
      stream.send(`<iq type='get' id='b${asked}'><bundle xmlns='urn:drawbridge:keys:1' jid='${victim.bareJid}'/></iq>`);
      crowd.count('questions');
      while (asked - answered > 32 && stream.isOpen && !crowd.stopped()) await pause(1);
    }
    stream.cut();
  });

/** Messages to people who are away: their provider is asked to wake them, and never answers. */
export const deadWakeUps: Attack = crowd =>
  repeat(crowd, 1, async () => {
    const from = crowd.accounts[9]!;
    const ciphertext = Buffer.alloc(100, 9).toString('base64');
    const stream = await crowd.open(from);
    for (let i = 0; stream.isOpen && !crowd.stopped(); i++) {
      stream.send(messageText(from, crowd.sleepers[i % crowd.sleepers.length]!, `w${i}`, ciphertext));
      crowd.count('messages');
      if (i % 20 === 19) await pause(50);
    }
    stream.cut();
  });
