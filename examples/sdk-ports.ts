// Two people whose apps bring places of their own: rows lie in a storage of the app's (sdk-storage.ts), and bytes go through
// sockets that it opens itself. carol writes to dave; dave's next client finds in the storage what the first one kept.
//
//   GATEKEEPER   https URL of the gatekeeper                           https://localhost:5226
//   CAROL_AT     base URL of carol's provider, which runs the kit       https://localhost:5227/skylark
//   DAVE_AT      the same for dave, who is of the gatekeeper's service  https://localhost:5227/users
//   CA           PEM file of the authority to trust; development only   drawbridge-sandbox/pki/ca.pem
// The defaults are those of `npx drawbridge sandbox`.
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { type Client, type ConnectSocket, openClient } from '@drawbridge/client';
import { JournalStorage } from './sdk-storage.ts';

const { GATEKEEPER = 'https://localhost:5226', CA = 'drawbridge-sandbox/pki/ca.pem' } = process.env;
const { CAROL_AT = 'https://localhost:5227/skylark', DAVE_AT = 'https://localhost:5227/users' } = process.env;

let sockets = 0;
/** Here the way could go through a proxy, a tunnel or a radio: any Duplex of node:stream serves. */
const connectSocket: ConnectSocket = async (place, signal) => {
  const socket = connect({ ...place, signal });
  await once(socket, 'connect');
  sockets++;
  return socket;
};

async function open(identifier: string, url: string): Promise<Client> {
  const folder = `people/${identifier}`;
  mkdirSync(folder, { recursive: true });
  const client = await openClient({
    folder, // files on their way lie here, encrypted
    storage: new JournalStorage(`${folder}/rows.journal`),
    connectSocket,
    passphrase: 'a long one',
    gatekeeper: GATEKEEPER,
    provider: { url, identifier, password: 'correct horse', signUp: true },
    ca: CA,
  });
  if (client.me === undefined) await client.account.enlist();
  return client;
}

const carol = await open('carol', CAROL_AT);
const dave = await open('dave', DAVE_AT);
await Promise.all([carol.connect(), dave.connect()]);
await dave.account.optIn('skylark.localhost');
await carol.send({ provider: 'localhost', identifier: 'dave' }, { text: 'hello from a journal' });
for await (const message of dave.messages()) {
  console.log(`${message.from.identifier}: ${message.text}`);
  break;
}
await Promise.all([carol.close(), dave.close()]);

const again = await open('dave', DAVE_AT);
const kept = await again.chats.messages();
console.log('kept:', kept.map(({ message }) => message.text).join(', '));
await again.close();
console.log(sockets > 0 ? 'through sockets of the app' : 'no socket was asked for');
