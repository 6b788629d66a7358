import { mkdtempSync } from 'node:fs';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { startDevGatekeeper, startDevProvider } from '@drawbridge/cli/dev-network';
import { freePorts, devGatekeeperIssuer } from '@drawbridge/cli/dev-config';
import { openClient } from '@drawbridge/client/client';
const dir = mkdtempSync('/tmp/sdk-');
const t0 = performance.now();
const lap = (s: string) => console.log((performance.now() - t0).toFixed(0), s);
const pki = await ensureDevPki(dir + '/pki', ['citadel.example']);
const [http] = await freePorts(1);
const prov = await startDevProvider({ folder: dir + '/skylark', pki, gatekeepers: [devGatekeeperIssuer(http!)] });
const gk = await startDevGatekeeper({
  folder: dir + '/citadel',
  pki,
  domain: 'citadel.example',
  ports: { http: http! },
  providers: [{ number: 1, name: 'skylark.example', issuer: prov.issuer, wakeUpUrl: prov.wakeUpUrl }],
  log: (l, e, d) => {
    console.log('   gk', l, e, JSON.stringify(d));
  },
});
lap('started');
const anna = await openClient({
  folder: dir + '/anna',
  passphrase: 'a',
  gatekeeper: gk.issuer,
  provider: { url: prov.issuer, identifier: 'anna', password: 'secret-anna-1', signUp: true },
  ca: pki.caFile,
});
const bob = await openClient({
  folder: dir + '/bob',
  passphrase: 'b',
  gatekeeper: gk.issuer,
  provider: { url: gk.issuer + '/users', identifier: 'bob', password: 'secret-bob-12', signUp: true },
  ca: pki.caFile,
});
lap('opened');
await anna.enlist();
await bob.enlist();
lap('enlisted');
await anna.connect();
await bob.connect();
lap('connected ' + JSON.stringify(anna.status));
console.log(await bob.consent());
await bob.optIn(1);
lap('optin');
const N = Number(process.argv[2] ?? 20);
const got = (async () => {
  let n = 0;
  for await (const m of bob.messages()) {
    n++;
    if (n < 3) console.log('bob got', m.text, m.from);
    if (n === N) break;
  }
})();
const got2 = (async () => {
  let n = 0;
  for await (const m of anna.messages()) {
    n++;
    if (n < 3) console.log('anna got', m.text, m.from);
    if (n === N) break;
  }
})();
await anna.send({ provider: 'citadel.example', identifier: 'bob' }, { text: 'hello 0' });
lap('sent first');
await new Promise(r => setTimeout(r, 500));
const t1 = performance.now();
for (let i = 1; i < N; i++) await anna.send({ provider: 'citadel.example', identifier: 'bob' }, { text: 'hello ' + i });
for (let i = 0; i < N; i++) await bob.send({ provider: 'skylark.example', identifier: 'anna' }, { text: 're ' + i });
lap('all queued');
await got;
await got2;
lap('all got in ' + (performance.now() - t1).toFixed(0));
await anna.close();
await bob.close();
lap('clients closed');
await gk.close();
lap('gk closed');
await prov.close();
lap('closed');
