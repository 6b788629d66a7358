"""slixmpp (Debian's python3-slixmpp) as a peer of the gatekeeper, driven by JSON lines.

Commands on standard input: start {host, port, jid, token, ca, sm}, send {to, id, ciphertext}, raw {xml}, iq {xml, id},
cut {} (drops the connection without a goodbye), resume {token}, stop {}. Each event is a JSON line on standard output.
"""
import asyncio
import json
import ssl
import sys

import slixmpp
from slixmpp.util.sasl.client import Mech, sasl_mech
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath


@sasl_mech(70)
class OAUTHBEARER(Mech):
    """RFC 7628, as users of the library add it."""

    name = 'OAUTHBEARER'
    required_credentials = {'access_token'}

    def process(self, challenge=b''):
        if challenge:
            return b'\x01'
        return b'n,,\x01auth=Bearer ' + self.credentials['access_token'] + b'\x01\x01'


def tell(event, **data):
    print(json.dumps({'event': event, **data}), flush=True)


class Peer(slixmpp.ClientXMPP):
    def __init__(self, command):
        super().__init__(command['jid'], 'unused', sasl_mech='OAUTHBEARER')
        self.credentials['access_token'] = command['token'].encode()
        self.ca_certs = command['ca']
        self.address_to_use = (command['host'], command['port'])
        self['feature_mechanisms'].unencrypted_plain = False
        self.register_plugin('xep_0199')
        self.register_plugin('xep_0030')
        if command.get('sm'):
            self.register_plugin('xep_0198')
        self.add_event_handler('session_start', self.started)
        self.add_event_handler('session_resumed', lambda _: tell('resumed'))
        self.add_event_handler('sm_enabled', lambda _: tell('sm-enabled'))
        self.add_event_handler('failed_all_auth', lambda _: tell('refused'))
        self.add_event_handler('disconnected', lambda reason: tell('disconnected', reason=str(reason or '')))
        self.add_event_handler('stream_error', lambda error: tell('stream-error', condition=error['condition']))
        envelope = '{jabber:client}message/{urn:drawbridge:e2ee:1}envelope'
        self.register_handler(Callback('envelope', MatchXPath(envelope), self.envelope))
        self.register_handler(Callback('error', MatchXPath('{jabber:client}message/{jabber:client}error'), self.error))

    async def started(self, _):
        roster = await self.get_roster()
        self.send_presence()
        tell('started', jid=self.boundjid.full, roster=len(roster['roster']['items']))

    def envelope(self, message):
        ciphertext = message.xml.find('.//{urn:drawbridge:e2ee:1}ciphertext')
        delayed = message.xml.find('{urn:xmpp:delay}delay') is not None
        tell('envelope', id=message['id'], sender=str(message['from']), ciphertext=ciphertext.text, delayed=delayed)

    def error(self, message):
        stanzas = '{urn:ietf:params:xml:ns:xmpp-stanzas}'
        error = message.xml.find('{jabber:client}error')
        condition = next(child.tag.removeprefix(stanzas) for child in error if child.tag.startswith(stanzas))
        tell('error', id=message['id'], condition=condition, type=error.get('type'))


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = None
    while line := await reader.readline():
        command = json.loads(line)
        op = command['op']
        if op == 'start':
            peer = Peer(command)
            peer.ssl_context = ssl.create_default_context(cafile=command['ca'])
            peer.connect(peer.address_to_use, force_starttls=True)
        elif op == 'send':
            message = peer.make_message(mto=command['to'], mtype='chat')
            message['id'] = command['id']
            envelope = ET.SubElement(message.xml, '{urn:drawbridge:e2ee:1}envelope')
            envelope.attrib.update({'suite': 'signal-1', 'from-device': '1'})
            ciphertext = ET.SubElement(envelope, '{urn:drawbridge:e2ee:1}ciphertext')
            ciphertext.attrib.update({'device': '1', 'kind': 'session'})
            ciphertext.text = command['ciphertext']
            message.send()
        elif op == 'raw':
            peer.send_raw(command['xml'])
        elif op == 'ping':
            await peer['xep_0199'].ping(jid=command['to'], timeout=5)
            tell('pong')
        elif op == 'cut':
            peer.transport.abort()
        elif op == 'resume':
            peer.credentials['access_token'] = command['token'].encode()
            peer.connect(peer.address_to_use, force_starttls=True)
        elif op == 'stop':
            peer.disconnect()
            await asyncio.sleep(0.2)
            break


asyncio.run(main())
