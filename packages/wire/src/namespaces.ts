// The XML namespaces of the protocol, by name. Knows nothing of the elements inside them.
// Source: RFC 6120, RFC 6121, RFC 7395, the XEPs named below, docs/protocol/06-stanzas.md.

export const NS_XML = 'http://www.w3.org/XML/1998/namespace';
export const NS_XMLNS = 'http://www.w3.org/2000/xmlns/';

export const NS_CLIENT = 'jabber:client';
export const NS_STREAM = 'http://etherx.jabber.org/streams';
export const NS_STREAMS = 'urn:ietf:params:xml:ns:xmpp-streams';
export const NS_STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas';
export const NS_TLS = 'urn:ietf:params:xml:ns:xmpp-tls';
export const NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';
export const NS_BIND = 'urn:ietf:params:xml:ns:xmpp-bind';
export const NS_SESSION = 'urn:ietf:params:xml:ns:xmpp-session';
export const NS_FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';
export const NS_ROSTER = 'jabber:iq:roster';

/** XEP-0198 */
export const NS_SM = 'urn:xmpp:sm:3';
/** XEP-0199 */
export const NS_PING = 'urn:xmpp:ping';
/** XEP-0030 */
export const NS_DISCO_INFO = 'http://jabber.org/protocol/disco#info';
export const NS_DISCO_ITEMS = 'http://jabber.org/protocol/disco#items';
/** XEP-0334 */
export const NS_HINTS = 'urn:xmpp:hints';
/** XEP-0203 */
export const NS_DELAY = 'urn:xmpp:delay';

export const NS_E2EE = 'urn:drawbridge:e2ee:1';
export const NS_KEYS = 'urn:drawbridge:keys:1';
export const NS_DIRECTORY = 'urn:drawbridge:directory:1';
export const NS_CONSENT = 'urn:drawbridge:consent:1';
export const NS_DEVICES = 'urn:drawbridge:devices:1';
export const NS_MEDIA = 'urn:drawbridge:media:1';
export const NS_DELIVERY = 'urn:drawbridge:delivery:1';
export const NS_REPORT = 'urn:drawbridge:report:1';
export const NS_ERRORS = 'urn:drawbridge:errors:1';
