// The one endpoint that a provider needs to wake sleeping apps, as a small service of its own, without the rest of the kit:
// a gatekeeper posts a signed event with nothing in it but who is to be woken. Source: docs/protocol/03-http.md, RFC 8935.
//
//   PORT         where to listen                                       8445
//   ISSUER       the provider's issuer URL, to which events are made out
//   GATEKEEPER   issuer URL of the gatekeeper to work with             https://localhost:5226
//   TLS          folder with server.pem, server-key.pem and ca.pem     drawbridge-sandbox/pki
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { createEgress } from '@drawbridge/identity/egress';
import { createWakeUpReceiver } from '@drawbridge/provider';

const { PORT = '8445', ISSUER = '', GATEKEEPER = 'https://localhost:5226' } = process.env;
const { TLS = 'drawbridge-sandbox/pki' } = process.env;
const pem = (name: string): string => readFileSync(join(TLS, name), 'utf8');
const maxEventBytes = 8_192;

const egress = createEgress({ allow: { addresses: ['127.0.0.1', '::1'], ca: pem('ca.pem') } });
const taken = new Set<string>(); // in production: a table, with what is older than an hour removed
const receive = createWakeUpReceiver({
  audience: ISSUER,
  gatekeepers: [{ issuer: GATEKEEPER }],
  fetch: egress.fetch,
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  takeEventId: async ({ jti }) => !taken.has(jti) && taken.add(jti).size > 0,
  onWakeUp: identifier => console.log(`wake ${identifier}`), // here: send a silent push
  log: (event, code) => console.error(event, code),
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxEventBytes) return void response.writeHead(413).end();
    pieces.push(piece);
  }
  const receipt = await receive(Buffer.concat(pieces).toString('latin1'));
  if (receipt.kind === 'accepted') return void response.writeHead(202).end();
  const { err, description, retry } = receipt;
  if (retry) return void response.writeHead(503, { 'retry-after': '5' }).end();
  response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ err, description }));
}

const tls = { cert: pem('server.pem'), key: pem('server-key.pem') };
const server = createServer(tls, (request, response) => {
  answer(request, response).catch(() => response.destroy());
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on ${PORT}`));
process.once('SIGTERM', () => {
  server.close();
  egress.close();
});
