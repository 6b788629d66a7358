// What a person's devices can show, as far as they have said, and what to send along for those that can't.
// Pure. Knows nothing of storage or sending.
// Source: docs/protocol/09-content.md section 9.3 (capability bits, `fallback_text`).
import { type Capability, capability, MAX_FALLBACK_BYTES } from '@drawbridge/e2ee/content';
import { capabilityFor } from '@drawbridge/e2ee/content-kinds';
import { inWords, type ShownBody } from './message-log.ts';

export type { Capability };

/** What a device of somebody said with its last content. */
/** `commits`: its messages have come with commitments; one without is not read from then on. */
export type DeviceCapabilities = { readonly capabilities: number; readonly seenAtMs: number; readonly commits?: true };

/** Devices that were not heard of for so long say nothing about what a person's devices can show. */
export const capabilitiesAgeMs = 30 * 86_400_000;

/** What at least one device lacks; undefined while nothing is known of any. */
export function lackingOf(devices: readonly DeviceCapabilities[], nowMs: number): Capability[] | undefined {
  const heard = devices.filter(device => nowMs - device.seenAtMs < capabilitiesAgeMs);
  if (heard.length === 0) return undefined;
  const all = heard.reduce((bits, device) => bits & device.capabilities, ~0);
  return (Object.keys(capability) as Capability[]).filter(name => (all & capability[name]) === 0);
}

/**
 * Words to show in place of a message where some device may not be able to show it; undefined when all can. What may be
 * seen once is never put into words: they would stay.
 */
export function fallbackFor(
  body: ShownBody,
  viewOnce: boolean,
  lacking: readonly Capability[] | undefined,
): string | undefined {
  if (viewOnce || body.kind === 'text') return undefined;
  const needed = capabilityFor(body.kind);
  if (needed === undefined || lacking?.includes(needed) === false) return undefined;
  const words: string[] = [];
  let bytes = 0;
  for (const character of inWords(body)) {
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_FALLBACK_BYTES) break;
    words.push(character);
  }
  return words.length === 0 ? undefined : words.join('');
}
