// Logs in to the sandbox with nothing but node:tls: what a client in any language writes and reads, shown as it goes.
// Source: docs/protocol/04-streams.md; RFC 6120, RFC 7628. It looks for the end of each answer as a demonstration may;
// a real client has an XML parser.
//
//   XMPPS_PORT   direct TLS                                            5223
//   SANDBOX      where ownership proofs are served                     http://127.0.0.1:5227
//   CA           PEM file of the authority to trust                    drawbridge-sandbox/pki/ca.pem
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';

const { XMPPS_PORT = '5223', SANDBOX = 'http://127.0.0.1:5227', CA = 'drawbridge-sandbox/pki/ca.pem' } = process.env;
const socket = connect({
  host: 'localhost',
  port: Number(XMPPS_PORT),
  ca: readFileSync(CA),
  ALPNProtocols: ['xmpp-client'],
});
await once(socket, 'secureConnect');
socket.setEncoding('utf8');
const arriving = socket[Symbol.asyncIterator]();

async function ask(xml: string, end: RegExp): Promise<string> {
  console.log(`→ ${xml}`);
  socket.write(xml);
  let answer = '';
  while (!end.test(answer)) {
    const next = await arriving.next();
    if (next.done === true) throw new Error(`the stream ended after: ${answer}`);
    answer += next.value as string;
  }
  console.log(`← ${answer}`);
  return answer;
}

const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>`;
const proof = await (await fetch(`${SANDBOX}/sandbox/proof?account=u0`)).text();
const login = Buffer.from(`n,,\x01auth=Bearer ${proof}\x01\x01`).toString('base64');

await ask(header, /<\/stream:features>/);
await ask(
  `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>${login}</auth>`,
  /<success|<\/failure>/,
);
await ask(header, /<\/stream:features>/);
const bind = `<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`;
const bound = await ask(bind, /<\/iq>/);
console.log(`logged in as ${/<jid>(.*)<\/jid>/.exec(bound)?.[1]}`);
socket.end('</stream:stream>');
