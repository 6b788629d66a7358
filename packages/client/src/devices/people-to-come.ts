// Whom the device that let this one in knows, and its ticket had no room for. They are asked for page by page, between the two
// alone. Before the last page has come this device meets nobody new: nothing leaves for somebody whose key is not known here,
// nothing of them is read, and no name is learned. So whoever withholds a page gains nothing by it.
// Knows nothing of streams, nor of how the outbox and the inbox wait.
// Source: docs/protocol/09-content.md section 9.5.
import { randomBytes } from 'node:crypto';
import { type ContentBody, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { MAX_KNOWN_PEOPLE, personBytes } from '@drawbridge/e2ee/known-people';
import type { InteropId } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';
import { addNotice, forgetNotice } from '../notices/notice-records.ts';
import type { Additions } from '../outbox/additions.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import { decodeJson, encodeJson } from '../store/json-bytes.ts';
import type { Transaction } from '../store/store.ts';
import { inherit, knownPeople } from './inheritance.ts';

export const peoplePageLimits = {
  /** Of a content's 61,440 bytes. */
  bytes: 49_152,
  people: 400,
} as const;

/** `after`: where the device that knows them goes on; `told`: how many have come. */
export type PeopleToCome = {
  readonly deviceId: number;
  readonly count: number;
  readonly after: number;
  readonly told: number;
};

export type PeopleContext = {
  readonly own: InteropId;
  readonly domain: string;
  readonly outbox: Pick<Additions, 'add' | 'hasRoom'>;
  readonly nowMs: number;
  readonly telling: Telling;
};

/** Whom this device tells another one of, in the order of the pages: between the first of them and the last. */
export type Telling = { people?: ReturnType<typeof knownPeople> };

/** `told-all`: this device knows everybody now, and what waited for that goes on. */
export type PeopleOutcome = 'nothing' | 'said' | 'told-all';

export function readPeopleToCome(tx: Transaction): PeopleToCome | undefined {
  const text = readSetting(tx, 'people-to-come');
  return text === undefined ? undefined : (decodeJson(Buffer.from(text)) as PeopleToCome);
}

/** With the admission of this device. */
export function expectPeople(
  tx: Transaction,
  { deviceId, count }: Pick<PeopleToCome, 'deviceId' | 'count'>,
  nowMs: number,
): void {
  write(tx, { deviceId, count, after: 0, told: 0 });
  addNotice(tx, { kind: 'people-missing', deviceId, count }, nowMs);
}

/** Whether this is somebody whom the person may know elsewhere by another key. */
export function isUnmet(tx: Transaction, own: InteropId, person: InteropId): boolean {
  return person !== own && readPeopleToCome(tx) !== undefined && tx.get('identity', person) === undefined;
}

/** Asks for the next page. False when nothing is to come, or can't be asked for now. */
export function askForPeople(tx: Transaction, context: PeopleContext): boolean {
  const state = readPeopleToCome(tx);
  if (state === undefined || !context.outbox.hasRoom(tx)) return false;
  post(tx, context, state.deviceId, { kind: 'device-sync', peopleQuestion: { after: state.after } });
  return true;
}

/** What another device of this person says of people, or asks. */
export function hearOfPeople(
  tx: Transaction,
  context: PeopleContext,
  deviceId: number,
  { peopleQuestion, peoplePage }: ContentBody<'device-sync'>,
): PeopleOutcome {
  if (peopleQuestion !== undefined) return answer(tx, context, deviceId, peopleQuestion.after);
  const state = readPeopleToCome(tx);
  if (peoplePage === undefined || state?.deviceId !== deviceId || peoplePage.after !== state.after) return 'nothing';
  const { people, next } = peoplePage;
  const told = state.told + people.length;
  // Beyond it this device can't know everybody: it stays so until its person says otherwise.
  if (told > MAX_KNOWN_PEOPLE) return 'nothing';
  inherit(
    tx,
    context.domain,
    people.filter(({ interopId }) => isUnmet(tx, context.own, interopId)),
  );
  if (next === undefined) {
    writeSetting(tx, 'people-to-come', undefined);
    forgetNotice(tx, { kind: 'people-missing', deviceId, count: state.count });
    return 'told-all';
  }
  write(tx, { ...state, after: next, told });
  return askForPeople(tx, context) ? 'said' : 'nothing';
}

/** A person goes on without those who have not come: from now on anybody's first key counts. False: nobody is to come. */
export function forgoPeople(tx: Transaction, nowMs: number): boolean {
  const state = readPeopleToCome(tx);
  if (state === undefined) return false;
  writeSetting(tx, 'people-to-come', undefined);
  const { deviceId, count } = state;
  addNotice(tx, { kind: 'people-forgone', deviceId, count }, nowMs);
  return true;
}

/** A device that does not know everybody itself has no answer yet: it is asked again. */
function answer(tx: Transaction, context: PeopleContext, deviceId: number, after: number): PeopleOutcome {
  if (readPeopleToCome(tx) !== undefined || !context.outbox.hasRoom(tx)) return 'nothing';
  const { telling } = context;
  // To walk over all of them costs much: it is done for the first page, or for a further one after a restart.
  if (after === 0) delete telling.people;
  telling.people ??= knownPeople(tx).toReversed();
  const behind = telling.people.filter(({ place }) => place > after);
  let sizeBytes = 0;
  const fits = behind.slice(0, peoplePageLimits.people).filter(person => {
    sizeBytes += personBytes(person);
    return sizeBytes <= peoplePageLimits.bytes;
  });
  const goesOn = fits.length < behind.length ? { next: fits.at(-1)!.place } : {};
  if (fits.length === behind.length) delete telling.people;
  post(tx, context, deviceId, { kind: 'device-sync', peoplePage: { after, people: fits, ...goesOn } });
  return 'said';
}

function post(
  tx: Transaction,
  { own, outbox, nowMs }: PeopleContext,
  toDevice: number,
  body: ContentBody<'device-sync'>,
): void {
  const content = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: nowMs, body });
  if (!content.ok) throw new ClientError('content-refused', { detail: content.error.code });
  const payload = { kind: 'content', content: Buffer.from(content.value).toString('base64') } as const;
  outbox.add(tx, { to: own, toDevice, payload, silent: true });
}

function write(tx: Transaction, state: PeopleToCome): void {
  writeSetting(tx, 'people-to-come', encodeJson(state).toString());
}
