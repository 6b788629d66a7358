// The mailbox's port on the embedded store, and the stored form of a stanza: its compact encoding.
import { childElement, type Element, element } from '@drawbridge/wire/element';
import { decodeCompact } from '@drawbridge/wire/compact-decoder';
import { encodeCompact } from '@drawbridge/wire/compact-encoder';
import { compactContext } from '@drawbridge/wire/compact-value';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_DELAY } from '@drawbridge/wire/namespaces';
import type { SqliteStore } from '../storage/sqlite/store.ts';
import type { Codec, MailboxStore } from './mailbox.ts';

/** Devices looked up per read when the process starts or sweeps. */
const devicesPerRead = 1_000;

export function createSqliteMailbox(store: SqliteStore): MailboxStore {
  return {
    append: rows => store.run('mailboxAppend', rows),
    remove: ranges => store.run('mailboxRemove', ranges),
    page: (device, afterSeq, maxCount, maxBytes) => store.read('mailboxPage', { device, afterSeq, maxCount, maxBytes }),
    state: device => store.read('mailboxState', { device }),
    expire: (device, nowMs, limit) => store.run('mailboxExpire', { device, nowMs, limit }),
    async devices() {
      const devices: number[] = [];
      for (;;) {
        const page = await store.read('mailboxDevices', { afterRow: devices.at(-1) ?? 0, limit: devicesPerRead });
        devices.push(...page);
        if (page.length < devicesPerRead) return devices;
      }
    },
  };
}

/** Entries leave the disk with the time at which they came (XEP-0203). */
export function createStanzaCodec(domain: string): Codec {
  const context = compactContext(domain);
  return {
    encode: el => encodeCompact(el, context),
    decode: (bytes, storedAtMs) => {
      const decoded = decodeCompact(bytes, 0, context, xmlLimitsAfterLogin);
      if ('code' in decoded || decoded.nextOffset !== bytes.length) return undefined;
      return withDelay(decoded.element, domain, storedAtMs);
    },
  };
}

function withDelay(el: Element, domain: string, storedAtMs: number): Element {
  if (childElement(el, 'delay', NS_DELAY) !== undefined) return el;
  const delay = element('delay', NS_DELAY, { from: domain, stamp: new Date(storedAtMs).toISOString() });
  return { name: el.name, ns: el.ns, attrs: el.attrs, children: [...el.children, delay] };
}
