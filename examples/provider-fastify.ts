// A provider that has a Fastify service already: the kit is mounted in it, under the path of the issuer.
// The variables are those of provider-express.ts, and what it says about production holds here too.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createProvider } from '@drawbridge/provider';
import { fastify } from 'fastify';

const { PORT = '8444', GATEKEEPER = 'https://localhost:5226', TLS = 'drawbridge-sandbox/pki' } = process.env;
const pem = (name: string): string => readFileSync(join(TLS, name), 'utf8');

const provider = await createProvider({
  issuer: `https://localhost:${PORT}/interop`,
  gatekeepers: [{ issuer: GATEKEEPER }],
  dataFolder: 'fastify-data',
  registration: 'open',
  media: {}, // people's encrypted files, in the data folder
  egress: { allow: { addresses: ['127.0.0.1', '::1'], ca: pem('ca.pem') } },
  onWakeUp: identifier => console.log(`wake ${identifier}`),
});

const app = fastify({ https: { cert: pem('server.pem'), key: pem('server-key.pem') } });
// The first hook: no body has been read. `hijack` says that the kit answers.
app.addHook('onRequest', async (request, reply) => {
  if (request.raw.url?.startsWith('/interop/') !== true) return;
  reply.hijack();
  provider.handler(request.raw, reply.raw);
});
app.get('/', () => 'your own pages');

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
console.log(`listening on ${PORT}`);
process.once('SIGTERM', () => void app.close().then(() => provider.close()));
