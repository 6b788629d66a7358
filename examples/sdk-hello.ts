// Two people of two services: one greets the other with the SDK. Run it as often as you like; keys and history stay in people/.
//
//   GATEKEEPER   https URL of the gatekeeper                           https://localhost:5226
//   ANNA_AT      base URL of anna's provider, which runs the kit       https://localhost:5227/skylark
//   BOB_AT       the same for bob                                      https://localhost:5227/users
//   BOB_OF       the name by which the gatekeeper knows bob's service  localhost
//   LET_IN       the service that bob lets in; empty when bob is no     skylark.localhost
//                user of the gatekeeper itself: then enlisting said so
//   CA           PEM file of the authority to trust; development only  drawbridge-sandbox/pki/ca.pem
// The defaults are those of `npx drawbridge sandbox`.
import { type Client, openClient } from '@drawbridge/client';

const { GATEKEEPER = 'https://localhost:5226', CA = 'drawbridge-sandbox/pki/ca.pem' } = process.env;
const { ANNA_AT = 'https://localhost:5227/skylark', LET_IN = 'skylark.localhost' } = process.env;
const { BOB_AT = 'https://localhost:5227/users', BOB_OF = 'localhost' } = process.env;

async function open(identifier: string, url: string): Promise<Client> {
  const provider = { url, identifier, password: 'correct horse', signUp: true };
  const folder = `people/${identifier}`;
  const client = await openClient({ folder, passphrase: 'a long one', gatekeeper: GATEKEEPER, provider, ca: CA });
  await client.account.enlist();
  await client.connect();
  return client;
}

const anna = await open('anna', ANNA_AT);
const bob = await open('bob', BOB_AT);
try {
  if (LET_IN !== '') await bob.account.optIn(LET_IN); // nobody is reachable who did not ask for it
  await anna.send({ provider: BOB_OF, identifier: 'bob' }, { text: 'hello' });
  for await (const message of bob.messages()) {
    console.log(`${message.from.identifier} of ${message.from.provider}: ${message.text}`);
    await message.markRead();
    break;
  }
} finally {
  await Promise.all([anna.close(), bob.close()]);
}
