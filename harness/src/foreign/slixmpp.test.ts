// slixmpp (Debian's python3-slixmpp) against the sandbox: STARTTLS, OAUTHBEARER, envelopes both ways, stream management
// with resumption, offline delivery, wrong tokens, malformed XML.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { type RunningSandbox, startSandbox } from '../running-sandbox.ts';

const python = '/usr/bin/python3';
const installed = spawnSync(python, ['-c', 'import slixmpp']).status === 0;
const skip = installed ? false : 'SKIPPED: python3-slixmpp is not installed (apt-get install python3-slixmpp)';
if (skip !== false) console.error(`slixmpp: ${skip}`);

type PeerEvent = { readonly event: string; readonly [name: string]: unknown };

let sandbox: RunningSandbox;
const children: ChildProcess[] = [];
before(async () => {
  if (skip === false) sandbox = await startSandbox(10);
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  if (skip === false) await sandbox.stop();
});

class Peer {
  readonly #child: ChildProcess;
  readonly #events: PeerEvent[] = [];
  #wake = (): void => {};

  constructor() {
    this.#child = spawn(python, [join(import.meta.dirname, 'slixmpp_peer.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(this.#child);
    createInterface(this.#child.stdout!).on('line', line => {
      this.#events.push(JSON.parse(line) as PeerEvent);
      this.#wake();
    });
  }

  tell(op: string, fields: Record<string, unknown> = {}): void {
    this.#child.stdin!.write(`${JSON.stringify({ op, ...fields })}\n`);
  }

  async start(account: string, options: { token?: string; sm?: boolean } = {}): Promise<void> {
    const { jid } = sandbox.accounts.find(each => each.account === account)!;
    const token = options.token ?? (await sandbox.proof(account));
    const { ca, ports } = sandbox.ready;
    this.tell('start', { host: '127.0.0.1', port: ports.xmpp, jid, token, ca, sm: options.sm === true });
  }

  /** Takes the next event of that kind; those before it are passed over. */
  async expect(event: string): Promise<PeerEvent> {
    const giveUpAtMs = performance.now() + 10_000;
    for (;;) {
      const at = this.#events.findIndex(each => each.event === event);
      if (at >= 0) return this.#events.splice(0, at + 1).at(-1)!;
      assert.ok(performance.now() < giveUpAtMs, `no ${event} within 10 s; got ${JSON.stringify(this.#events)}`);
      await new Promise<void>(resolve => {
        this.#wake = resolve;
        setTimeout(resolve, 500);
      });
    }
  }
}

function bareOf(account: string): string {
  return sandbox.accounts.find(each => each.account === account)!.jid.split('/')[0]!;
}

test('slixmpp: login, empty roster, envelopes both ways, ping', { skip }, async () => {
  const [one, two] = [new Peer(), new Peer()];
  await one.start('u0');
  await two.start('u1');
  const started = await one.expect('started');
  assert.equal(started.roster, 0);
  assert.equal(started.jid, sandbox.accounts[0]!.jid);
  await two.expect('started');
  const ciphertext = randomBytes(200).toString('base64');
  one.tell('send', { to: bareOf('u1'), id: 's1', ciphertext });
  const arrived = await two.expect('envelope');
  assert.deepEqual([arrived.id, arrived.sender, arrived.ciphertext], ['s1', sandbox.accounts[0]!.jid, ciphertext]);
  two.tell('send', { to: bareOf('u0'), id: 's2', ciphertext });
  assert.equal((await one.expect('envelope')).id, 's2');
  one.tell('ping', { to: sandbox.ready.domain });
  await one.expect('pong');
  one.tell('raw', { xml: `<message to='${bareOf('u1')}' id='plain' type='chat'><body>hello</body></message>` });
  const refused = await one.expect('error');
  assert.deepEqual([refused.id, refused.condition], ['plain', 'policy-violation']);
  one.tell('stop');
  two.tell('stop');
});

test('slixmpp: what came while away is delivered in order', { skip }, async () => {
  const [one, two] = [new Peer(), new Peer()];
  await one.start('u2');
  await one.expect('started');
  for (let i = 0; i < 10; i++) one.tell('send', { to: bareOf('u3'), id: `w${i}`, ciphertext: 'AAAA' });
  one.tell('ping', { to: sandbox.ready.domain });
  await one.expect('pong');
  await two.start('u3', { sm: true });
  for (let i = 0; i < 10; i++) {
    const { id, delayed } = await two.expect('envelope');
    assert.deepEqual([id, delayed], [`w${i}`, true]);
  }
  one.tell('stop');
  two.tell('stop');
});

test('slixmpp: a cut stream is resumed, and nothing is lost or repeated', { skip }, async () => {
  const [one, two] = [new Peer(), new Peer()];
  await one.start('u4');
  await one.expect('started');
  await two.start('u5', { sm: true });
  await two.expect('sm-enabled');
  one.tell('send', { to: bareOf('u5'), id: 'before', ciphertext: 'AAAA' });
  assert.equal((await two.expect('envelope')).id, 'before');
  two.tell('cut');
  await two.expect('disconnected');
  for (let i = 0; i < 5; i++) one.tell('send', { to: bareOf('u5'), id: `during${i}`, ciphertext: 'AAAA' });
  one.tell('ping', { to: sandbox.ready.domain });
  await one.expect('pong');
  two.tell('resume', { token: await sandbox.proof('u5') });
  await two.expect('resumed');
  for (let i = 0; i < 5; i++) assert.equal((await two.expect('envelope')).id, `during${i}`);
  one.tell('send', { to: bareOf('u5'), id: 'after', ciphertext: 'AAAA' });
  assert.equal((await two.expect('envelope')).id, 'after');
  one.tell('stop');
  two.tell('stop');
});

test('slixmpp: wrong tokens are refused, malformed XML ends the stream', { skip }, async () => {
  const wrong = new Peer();
  await wrong.start('u6', { token: 'eyJhbGciOiJub25lIn0.e30.' });
  await wrong.expect('refused');
  const used = await sandbox.proof('u6');
  const [first, second] = [new Peer(), new Peer()];
  await first.start('u6', { token: used });
  await first.expect('started');
  await second.start('u6', { token: used });
  await second.expect('refused');
  first.tell('raw', { xml: '<message><unclosed></message>' });
  const error = await first.expect('stream-error');
  assert.equal(error.condition, 'not-well-formed');
});
