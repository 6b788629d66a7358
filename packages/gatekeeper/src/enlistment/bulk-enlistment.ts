// Enlists many people at once, as an operator's own tool: their devices are checked like any other's, no proof and no budget is
// asked for.
// Knows nothing of HTTP or of where the list comes from.
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import type { InteropId } from '@drawbridge/wire/jid';
import { type DeviceJson, parseDevice } from '../keys/device-keys.ts';
import type { EnlistRefusal } from './account-store.ts';
import type { Enlistment } from './enlistment.ts';

export type BulkEnlistment = {
  /** 0 for own users; those of the embedded issuer are people there only when its directory has them too. */
  readonly provider: number;
  readonly identifier: string;
  readonly device: DeviceJson;
};
export type BulkResult =
  | { readonly kind: 'enlisted'; readonly interopId: InteropId; readonly deviceId: number }
  | { readonly kind: 'refused'; readonly code: EnlistRefusal | 'device-keys-refused' | 'identifier-refused' };

const bulkPiece = 200;

/** Answers in the order of the list. */
export async function bulkEnlist(
  enlistment: Pick<Enlistment, 'enlistMany'>,
  list: readonly BulkEnlistment[],
  nowMs: () => number,
): Promise<readonly BulkResult[]> {
  const results: BulkResult[] = [];
  // In pieces: checking signatures takes this thread's time, and others want it too.
  for (let start = 0; start < list.length; start += bulkPiece) {
    const requests = list.slice(start, start + bulkPiece).map(({ provider, identifier, device: json }) => {
      const device = parseDevice(json);
      if (device === undefined) return 'device-keys-refused';
      return isUserIdentifier(identifier) ? { provider, identifier, device, replace: false } : 'identifier-refused';
    });
    const done = await enlistment.enlistMany(
      requests.filter(request => typeof request === 'object'),
      nowMs(),
    );
    let next = 0;
    for (const request of requests) {
      results.push(typeof request === 'object' ? done[next++]! : { kind: 'refused', code: request });
    }
  }
  return results;
}
