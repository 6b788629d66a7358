// How an envelope's devices differ from the recipient's, as an error. Knows nothing of accounts.
// Source: docs/protocol/06-stanzas.md section 6.1.

import { type Element, attribute, element, isElement } from '../element.ts';
import { parseDeviceId } from '../jid.ts';
import { NS_E2EE } from '../namespaces.ts';
import { stanzaErrorElement } from '../stanza-error.ts';

/** How an envelope's set of devices differs from the recipient's. */
export type DeviceList = {
  /** Active devices without a ciphertext. */
  readonly missing: readonly number[];
  /** Ciphertexts for devices that are not active. */
  readonly extra: readonly number[];
  /** Devices whose registration id is another one: a device that was made again. */
  readonly stale: readonly number[];
};

/** `<error type='modify'><conflict/><device-list/></error>`. */
export function deviceListError(list: DeviceList): Element {
  const children = [
    ...list.missing.map(id => element('missing', NS_E2EE, { device: String(id) })),
    ...list.extra.map(id => element('extra', NS_E2EE, { device: String(id) })),
    ...list.stale.map(id => element('stale', NS_E2EE, { device: String(id) })),
  ];
  return stanzaErrorElement('conflict', {
    type: 'modify',
    application: element('device-list', NS_E2EE, undefined, children),
  });
}

/** Reads `<device-list/>` (the `application` of a parsed stanza error); undefined when it is none or malformed. */
export function parseDeviceList(el: Element): DeviceList | undefined {
  if (el.name !== 'device-list' || el.ns !== NS_E2EE) return undefined;
  const list = { missing: [] as number[], extra: [] as number[], stale: [] as number[] };
  for (const child of el.children) {
    if (!isElement(child) || child.ns !== NS_E2EE || child.children.length > 0) return undefined;
    if (child.name !== 'missing' && child.name !== 'extra' && child.name !== 'stale') return undefined;
    const deviceId = parseDeviceId(attribute(child, 'device') ?? '');
    if (deviceId === undefined || list[child.name].includes(deviceId)) return undefined;
    list[child.name].push(deviceId);
  }
  return list;
}
