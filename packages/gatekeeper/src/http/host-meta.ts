// Where XMPP clients find the WebSocket, by the domain alone: host-meta, in XML and in JSON.
// Knows nothing of streams. Source: XEP-0156 section 3; RFC 6415 (host-meta); RFC 7395 section 4.

const relation = 'urn:xmpp:alt-connections:websocket';

/** `application/xrd+xml`; without a WebSocket there are no links. */
export function encodeHostMeta(websocket: string | undefined): string {
  const link = websocket === undefined ? '' : `<Link rel='${relation}' href='${escaped(websocket)}'/>`;
  return `<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>${link}</XRD>\n`;
}

/** `application/json`, as XEP-0156 gives it for web pages. */
export function hostMetaLinks(websocket: string | undefined): {
  readonly links: { readonly rel: string; readonly href: string }[];
} {
  return { links: websocket === undefined ? [] : [{ rel: relation, href: websocket }] };
}

function escaped(text: string): string {
  return text.replace(/[&<>'"]/g, character => `&#${character.codePointAt(0)};`);
}
