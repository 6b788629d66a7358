// The inspecting proxy between a device and a gatekeeper that logs its keys: what passes is shown, and arrives unchanged.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startInspectingProxy } from '@drawbridge/cli/inspect-run';
import { CompactDevice, CompactNetwork, type Person, Received } from './network.ts';

test('XX, IK and a message of several Noise frames are shown with the keys that the gatekeeper logged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-inspect-'));
  const keys = join(folder, 'keys.txt');
  const network = await CompactNetwork.open({ keyLog: line => appendFileSync(keys, `${line}\n`) });
  const lines = new Received();
  const shown: string[] = [];
  const proxy = await startInspectingProxy(
    { listen: { host: '127.0.0.1', port: 0 }, to: { host: '127.0.0.1', port: network.ports.compact } },
    keys,
    line => {
      shown.push(line);
      lines.changed();
    },
  );
  const has = (text: string): Promise<void> =>
    lines.until(text, () => shown.some(line => line.includes(text) || new RegExp(text).test(line)));
  try {
    const [anna, bert]: Person[] = [await network.person('anna'), await network.person('bert')];
    const receiver = await CompactDevice.open(network, bert!);
    await receiver.received.next('enabled');
    const first = await CompactDevice.open(network, anna!, { port: proxy.port });
    await first.received.next('enabled');
    first.send(network.message(anna!, bert!, 'large', 65_000), network.message(anna!, bert!, 'small', 10));
    await receiver.received.next('message', 2);
    await has("#1 S→C <iq type='result'");
    await has(`C→S <message .*id='large'`);
    await has(`C→S <message .*id='small'`);
    first.cut();
    await has('#1 closed');
    const second = await CompactDevice.open(network, anna!, { port: proxy.port, known: first.staticKey });
    await second.received.next('enabled');
    second.send(network.message(anna!, bert!, 'later', 10));
    await has(`#2 C→S \\[handshake IK`);
    await has(`#2 C→S <message .*id='later'`);
    assert.ok(!shown.some(line => line.includes('key log has no keys') || line.includes('was changed')));
    second.cut();
    receiver.cut();
  } finally {
    await proxy.close();
    await network.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
