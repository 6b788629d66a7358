// The words of a sandbox: what is where, and how to use it. Knows nothing of how it works.
import type { OwnProvider } from './own-provider.ts';
import type { SandboxAccount } from './sandbox-accounts.ts';
import type { SandboxReady } from './sandbox-run.ts';

export type PageFacts = {
  readonly ready: SandboxReady;
  readonly accounts: readonly SandboxAccount[];
  /** False: the `xmpp` port speaks plaintext. */
  readonly tls: boolean;
  readonly password: string;
  /** Where own users' files lie. */
  readonly ownMediaOrigin: string;
  /** A provider that runs outside of the sandbox and is registered in it. */
  readonly ownProvider: OwnProvider['registration'] | undefined;
};

/** What the terminal shows when the sandbox is ready. */
export function sandboxSummary({ ready, accounts, tls }: Omit<PageFacts, 'ownMediaOrigin' | 'ownProvider'>): string {
  const { ports } = ready;
  const last = accounts.length - 1;
  return `  domain    ${ready.domain}
  XMPP      localhost:${ports.xmpp} ${tls ? '(STARTTLS)' : '(plaintext, no TLS)'}, localhost:${ports.xmpps} (direct TLS), wss://localhost:${ports.websocket}/xmpp
  compact   localhost:${ports.compact}
  HTTP API  https://localhost:${ports.http}
  proofs    http://127.0.0.1:${ports.sandbox}/sandbox/proof?account=u0&transport=xmpp
  admin     http://127.0.0.1:${ports.admin} (metrics, health)
  trust     ${ready.ca}
  accounts  u0 … u${last} in ${ready.accounts}

Everything else, with examples: http://127.0.0.1:${ports.sandbox}/`;
}

/** The page at \`/\` of the sandbox port: plain text. */
export function sandboxPage(facts: PageFacts): string {
  const { ready, accounts, password } = facts;
  const { ports } = ready;
  const [alice, bob] = accounts;
  const sandbox = `http://127.0.0.1:${ports.sandbox}`;
  return `Drawbridge sandbox
==================

A gatekeeper, a third-party provider (skylark.localhost, number 1) and the gatekeeper's own users, on this machine alone.
Whoever reaches this port may be anybody in the sandbox. Nothing in it is for production.

${sandboxSummary(facts)}

Accounts
--------
u0, u2, … are people of the third party, u1, u3, … the gatekeeper's own users, all opted in to each other's service.
One device each. The accounts file has a JSON line for each: account, jid, device, identifier, provider, deviceKey (the
X25519 device key as a private JWK, which the compact transport needs as its static key).
Their Signal keys are real, but the private halves were thrown away: what is encrypted to u0 … can be routed, and nobody
can read it. For conversations that are read, make people of your own with the SDK (below).

  u0  ${alice?.jid ?? ''}
  u1  ${bob?.jid ?? '(start with --accounts 2 or more)'}

Log in with any XMPP library
----------------------------
SASL mechanism OAUTHBEARER (RFC 7628); the token is a fresh ownership proof, good for one login within two minutes:

  curl '${sandbox}/sandbox/proof?account=u0&transport=xmpp'
  curl '${sandbox}/sandbox/proofs?from=0&count=1000&transport=xmpp'      a JSON line each: account, jid, device, proof

account is u0, u1, … or the local part of a JID; transport is xmpp, compact or http.

Messages must carry an end-to-end encrypted envelope (docs/protocol/06-stanzas.md); others are refused. A device's list of
ciphertexts must be complete. By hand, for u1's one device:

  <message to='${bob === undefined ? 'JID' : bob.jid.slice(0, bob.jid.indexOf('/'))}' id='m1' type='chat'>
    <envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'>
      <ciphertext device='1' kind='session'>aGVsbG8gYnJpZGdl</ciphertext>
    </envelope>
  </message>

JavaScript, @xmpp/client (start it with NODE_EXTRA_CA_CERTS=${ready.ca}):

  import { client } from '@xmpp/client';
  const xmpp = client({
    service: 'xmpps://localhost:${ports.xmpps}', domain: '${ready.domain}',
    credentials: async authenticate => {
      const proof = await fetch('${sandbox}/sandbox/proof?account=u0');
      await authenticate({ token: await proof.text() }, 'OAUTHBEARER');
    },
  });
  class OAuthBearer {
    clientFirst = true;
    challenge() { this.failed = true; }
    response({ token }) { return this.failed ? '\\x01' : \`n,,\\x01auth=Bearer \${token}\\x01\\x01\`; }
  }
  OAuthBearer.prototype.name = 'OAUTHBEARER';
  xmpp.saslFactory.use(OAuthBearer);
  xmpp.on('online', address => console.log('online as', address.toString()));
  xmpp.on('stanza', stanza => console.log(stanza.toString()));
  await xmpp.start();

Python, without any library:

  import base64, socket, ssl, urllib.request
  token = urllib.request.urlopen('${sandbox}/sandbox/proof?account=u0').read()
  tls = ssl.create_default_context(cafile='${ready.ca}')
  s = tls.wrap_socket(socket.create_connection(('localhost', ${ports.xmpps})), server_hostname='${ready.domain}')
  def read(*ends):
      text = b''
      while not any(end in text for end in ends): text += s.recv(4096)
      return text.decode()
  s.sendall(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
            b" to='${ready.domain}' version='1.0'>")
  read(b'</stream:features>')
  s.sendall(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>"
            + base64.b64encode(b'n,,\\x01auth=Bearer ' + token + b'\\x01\\x01') + b'</auth>')
  print(read(b'<success', b'<failure'))

Trust
-----
  ${ready.ca}      also: curl ${sandbox}/sandbox/ca.pem
The authority's private key was never written, so this file can only vouch for this sandbox.

Make your own people
--------------------
  third party   https://localhost:${ports.sandbox}/skylark
  own users     https://localhost:${ports.sandbox}/users

  curl -X POST ${sandbox}/skylark/v1/users -H 'content-type: application/json' \\
    -d '{"identifier":"anna","password":"correct horse"}'
  curl -X POST ${sandbox}/skylark/v1/sessions -H 'content-type: application/json' \\
    -d '{"identifier":"anna","password":"correct horse"}'

Files are uploaded (tus 1.0.0) to the URL that a session's answer names as \`media\` (docs/protocol/11-media.md). Own users'
lie at ${facts.ownMediaOrigin}: whose a file is, is told by the origin.

${ownProviderWords(facts)}Then POST v1/ownership-proofs there with {"audience":"https://localhost:${ports.http}","jkt":…,"transport":"http"}, and enlist at
POST https://localhost:${ports.http}/v1/enlistments (docs/protocol/03-http.md). The password of u0, u1, … is "${password}".
`;
}

function ownProviderWords({ ownProvider, ready }: PageFacts): string {
  if (ownProvider === undefined) {
    return `Your own provider is registered with --provider: drawbridge sandbox --provider https://localhost:8443/interop

`;
  }
  return `Your provider ${ownProvider.issuer} is registered as ${ownProvider.name}, number 2. Its proofs are for the audience
https://localhost:${ready.ports.http}. Wake-ups are posted to ${ownProvider.wakeUpUrl},
other events (docs/protocol/10-consent-and-reports.md, 10.5) to ${ownProvider.eventsUrl}: suspend one of its people to see one.
It posts its own to https://localhost:${ready.ports.http}/v1/events. Own users opt in to ${ownProvider.name};
people of skylark.localhost are reachable for its people. Its discovery document is fetched at its first login.

`;
}
