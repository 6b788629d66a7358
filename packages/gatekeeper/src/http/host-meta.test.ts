// host-meta as XEP-0156 shows it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHostMeta, hostMetaLinks } from './host-meta.ts';

test('the WebSocket is named in XML and in JSON, and nothing is when there is none', () => {
  const url = "wss://citadel.example:443/xmpp?a=1&b='<x>'";
  assert.equal(
    encodeHostMeta(url),
    "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>" +
      "<Link rel='urn:xmpp:alt-connections:websocket' href='wss://citadel.example:443/xmpp?a=1&#38;b=&#39;&#60;x&#62;&#39;'/></XRD>\n",
  );
  assert.deepEqual(hostMetaLinks(url), { links: [{ rel: 'urn:xmpp:alt-connections:websocket', href: url }] });
  assert.ok(!encodeHostMeta(undefined).includes('Link'));
  assert.deepEqual(hostMetaLinks(undefined), { links: [] });
});
