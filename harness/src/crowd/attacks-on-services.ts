// What a hostile provider can do beside its people's streams: enlistments, files that drip, wake-ups that nobody takes,
// other people's passwords.
import { request } from 'node:http';
import { createServer, type Server } from 'node:https';
import { readFileSync } from 'node:fs';
import { samplePossession, sampleDevice } from '@drawbridge/gatekeeper/testing/sample-device';
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import { type Attack, type Crowd, pause, repeat } from './attack.ts';
import { owner } from './honest.ts';
import type { Target } from './network.ts';

/** An origin that gives the beginning of a large file and then a byte now and then, and an endpoint that never answers. */
export async function startTraps({ pki, skylark }: Target): Promise<Server[]> {
  const tls = { cert: readFileSync(pki.certFile), key: readFileSync(pki.keyFile) };
  const dripping = createServer(tls, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': slowBytes });
    response.write(Buffer.alloc(1_000));
    const drip = setInterval(() => response.write('x'), 5_000);
    response.once('close', () => clearInterval(drip));
  });
  const silent = createServer(tls, () => {});
  const at = [
    [dripping, skylark.mediaPort],
    [silent, skylark.wakeUpPort],
  ] as const;
  for (const [server, port] of at) await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve));
  return [dripping, silent];
}

const slowBytes = 541_568;

/** A request from one of the crowd's addresses; gives the status, 0 when there was none. */
function call(crowd: Crowd, method: string, path: string, body: unknown, subnet: number): Promise<number> {
  const localAddress = crowd.address(subnet);
  const host = localAddress.includes(':') ? '::1' : '127.0.0.1';
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise(resolve => {
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const { http: port } = crowd.target.ports;
    const sent = request({ host, port, localAddress, method, path, headers, agent: false }, response => {
      response.resume();
      response.once('close', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', () => resolve(0));
    sent.once('close', () => resolve(0));
    sent.end(text);
  });
}

/** People of the hostile provider, each with two hundred keys: a hundred signatures to check. None of them can be enlisted. */
export const enlistments: Attack = async crowd => {
  const sample = sampleDevice({ prekeys: 100, kemPrekeys: 100 });
  // The last key is not signed: it is found when all others were checked.
  const kemPrekeys = sample.json.kemPrekeys!.map((key, i) =>
    i < 99 ? key : { ...key, signature: key.signature.replace(/^..../, 'AAAA') },
  );
  await repeat(crowd, 16, async lane => {
    const proof = await crowd.proof(`crowd-${Math.random()}`, sample.jkt);
    const possession = samplePossession(sample, crowd.target.audience, { proof });
    const body = { proof, possession, device: { ...sample.json, kemPrekeys } };
    crowd.count('asked');
    const status = await call(crowd, 'POST', '/v1/enlistments', body, 4_000 + Math.floor(Math.random() * 8) + lane * 8);
    crowd.count(`status-${status}`);
    if (status === 0) await pause(50);
  });
};

/** The right owner's identifier with wrong passwords. */
export const wrongPasswords: Attack = crowd =>
  repeat(crowd, 8, async lane => {
    const body = { identifier: owner.identifier, password: `not the password ${Math.random()}` };
    crowd.count('asked');
    crowd.count(`status-${await call(crowd, 'POST', '/users/v1/sessions', body, 5_000 + lane)}`);
    await pause(10);
  });

const grantsEach = 8;

/** The gatekeeper asks for the hostile provider's keys again some seconds after it was not there. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === 60) throw error;
      await pause(500);
    }
  }
}

/** Grants for the file that drips: all accounts get theirs before anything else, for a grant lives for an hour. */
export async function collectGrants(crowd: Crowd): Promise<string[]> {
  const hrefs = await Promise.all(
    crowd.accounts.map(async account => {
      const answers: Element[] = [];
      const stream = await patiently(() => crowd.open(account, { onStanza: stanza => answers.push(stanza) }));
      const url = `https://localhost:${crowd.target.skylark.mediaPort}/slow`;
      const grant = `<grant xmlns='urn:drawbridge:media:1' url='${url}' size='${slowBytes}'/>`;
      for (let i = 0; i < grantsEach; i++) stream.send(`<iq type='get' id='g${i}'>${grant}</iq>`);
      for (let wait = 0; answers.length < grantsEach && wait < 1_000; wait++) await pause(10);
      await stream.end();
      return answers.flatMap(answer => {
        const granted = childElement(answer, 'grant', 'urn:drawbridge:media:1');
        return granted === undefined ? [] : [new URL(attribute(granted, 'href')!).pathname];
      });
    }),
  );
  return hrefs.flat();
}

/** Files of an origin that drips, through the proxy, as many at once as are given. */
export const slowMedia =
  (hrefs: readonly string[]): Attack =>
  crowd =>
    repeat(crowd, hrefs.length, async lane => {
      crowd.count('fetches');
      crowd.count(`status-${await call(crowd, 'GET', hrefs[lane]!, undefined, 6_000 + lane)}`);
      await pause(200);
    });
