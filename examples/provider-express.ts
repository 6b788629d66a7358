// A provider that has an Express service already: the kit is mounted in it, under the path of the issuer.
//
//   PORT         where to listen                                       8443
//   GATEKEEPER   issuer URL of the gatekeeper to work with             https://localhost:5226
//   TLS          folder with server.pem, server-key.pem and ca.pem     drawbridge-sandbox/pki
// In production: TLS as you have it, no `egress` (it is there so that loopback may be reached), a data folder that is
// backed up, and registration closed, with a directory of your own people.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { createProvider } from '@drawbridge/provider';
import express from 'express';

const { PORT = '8443', GATEKEEPER = 'https://localhost:5226', TLS = 'drawbridge-sandbox/pki' } = process.env;
const pem = (name: string): string => readFileSync(join(TLS, name), 'utf8');

const provider = await createProvider({
  issuer: `https://localhost:${PORT}/interop`,
  gatekeepers: [{ issuer: GATEKEEPER }],
  dataFolder: 'express-data',
  registration: 'open',
  media: {}, // people's encrypted files, in the data folder
  egress: { allow: { addresses: ['127.0.0.1', '::1'], ca: pem('ca.pem') } },
  onWakeUp: identifier => console.log(`wake ${identifier}`),
});

const app = express();
// Before any body parser: the kit reads bodies itself, within its own limits.
app.use((request, response, next) => {
  if (request.url.startsWith('/interop/')) provider.handler(request, response);
  else next();
});
app.get('/', (_request, response) => void response.send('your own pages'));

const server = createServer({ cert: pem('server.pem'), key: pem('server-key.pem') }, app);
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on ${PORT}`));
process.once('SIGTERM', () => {
  server.close();
  void provider.close();
});
