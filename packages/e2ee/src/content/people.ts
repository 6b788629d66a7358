// Kinds that say who or where somebody is: profile, contact cards, location.
// Knows nothing of who may say them, or of what is done with them.
// Source: docs/protocol/09-content.md section 9.3, schema/content.proto.
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import { DeviceSync_NotApplied_What as NotApplied } from '../gen/content_pb.ts';
import { type AttachmentPointer, checkPointer, pointerMessage, readPointer } from './attachment-pointer.ts';
import { isText, need, time, uint32 } from './checks.ts';
import { type BodyValue, type KindTable, reads } from './kind.ts';
import { contentKindLimits as limits } from './limits.ts';

export type Profile = {
  /** May be empty: no name of one's own. */
  readonly displayName: string;
  readonly about?: string;
  readonly avatar?: AttachmentPointer;
};

export type ContactCard = {
  readonly displayName: string;
  readonly phones?: readonly string[];
  readonly emails?: readonly string[];
  readonly interopId?: InteropId;
  readonly avatar?: AttachmentPointer;
};

/** WGS 84, degrees and metres. */
export type Location = {
  readonly latitude: number;
  readonly longitude: number;
  readonly accuracyMeters?: number;
  readonly name?: string;
  readonly address?: string;
  /** The sender's place is shared until then. */
  readonly liveUntilMs?: number;
  readonly liveSequence?: number;
};

/** A profile is what somebody says of themselves, and proof of nothing. */
export type PeopleBodies = {
  readonly profile: Profile;
  readonly contacts: { readonly contacts: readonly ContactCard[] };
  readonly location: Location;
};

function checkProfile(profile: Profile): void {
  need(isText(profile.displayName, limits.maxNameBytes), 'profile.displayName');
  need(isText(profile.about ?? '', limits.maxAboutBytes), 'profile.about');
  if (profile.avatar !== undefined) checkPointer(profile.avatar, 'profile.avatar');
}

function checkContact(card: ContactCard): void {
  need(card.displayName.length > 0 && isText(card.displayName, limits.maxNameBytes), 'contacts.displayName');
  for (const entries of [card.phones ?? [], card.emails ?? []]) {
    need(
      entries.length <= limits.maxContactEntries && entries.every(each => isText(each, limits.maxContactEntryBytes)),
      'contacts.entries',
    );
  }
  if (card.interopId !== undefined) need(isInteropId(card.interopId), 'contacts.interopId');
  if (card.avatar !== undefined) checkPointer(card.avatar, 'contacts.avatar');
}

function checkLocation(place: Location): void {
  need(Math.abs(place.latitude) <= 90, 'location.latitude');
  need(Math.abs(place.longitude) <= 180, 'location.longitude');
  const accuracy = place.accuracyMeters ?? 0;
  need(Number.isFinite(accuracy) && accuracy >= 0, 'location.accuracyMeters');
  need(isText(place.name ?? '', limits.maxPlaceBytes), 'location.name');
  need(isText(place.address ?? '', limits.maxPlaceBytes), 'location.address');
  time(place.liveUntilMs ?? 0, 'location.liveUntilMs');
  uint32(place.liveSequence ?? 0, 'location.liveSequence');
}

function avatar(pointer: AttachmentPointer | undefined): { avatar?: ReturnType<typeof pointerMessage> } {
  return pointer === undefined ? {} : { avatar: pointerMessage(pointer) };
}

function readAvatar(
  pointer: Parameters<typeof readPointer>[0] | undefined,
  field: string,
): { avatar?: AttachmentPointer } {
  return pointer === undefined ? {} : { avatar: readPointer(pointer, field) };
}

function readLocation(value: BodyValue<'location'>): Location {
  const { latitude, longitude, accuracyMeters, name, address, liveSequence } = value;
  const liveUntilMs = time(value.liveUntilMs, 'location.liveUntilMs');
  return {
    latitude,
    longitude,
    ...(accuracyMeters === 0 ? {} : { accuracyMeters }),
    ...(name === '' ? {} : { name }),
    ...(address === '' ? {} : { address }),
    ...(liveUntilMs === 0 ? {} : { liveUntilMs }),
    ...(liveSequence === 0 ? {} : { liveSequence }),
  };
}

function readCard({ displayName, phones, emails, interopId, avatar: pointer }: ContactMessage): ContactCard {
  return {
    displayName,
    ...(phones.length === 0 ? {} : { phones }),
    ...(emails.length === 0 ? {} : { emails }),
    ...(interopId === '' ? {} : { interopId }),
    ...readAvatar(pointer, 'contacts.avatar'),
  };
}

type ContactMessage = BodyValue<'contacts'>['contacts'][number];

/** Of these, what shows no message of its own. */
export type PeopleActs = 'profile';

export const peopleKinds: KindTable<PeopleBodies, PeopleActs> = {
  profile: {
    case: 'profile',
    capability: 'profiles',
    isQuiet: true,
    notApplied: { what: NotApplied.PROFILE, isAboutMessage: false },
    check: checkProfile,
    write: ({ displayName, about = '', avatar: pointer }) => ({
      case: 'profile',
      value: { displayName, about, ...avatar(pointer) },
    }),
    read: reads('profile', ({ displayName, about, avatar: pointer }) => ({
      displayName,
      ...(about === '' ? {} : { about }),
      ...readAvatar(pointer, 'profile.avatar'),
    })),
  },
  contacts: {
    case: 'contacts',
    capability: 'contacts',
    check: ({ contacts }) => {
      need(contacts.length > 0 && contacts.length <= limits.maxContacts, 'contacts');
      contacts.forEach(checkContact);
    },
    write: body => {
      const contacts = body.contacts.map(({ displayName, phones = [], emails = [], interopId = '', ...card }) => ({
        displayName,
        phones: [...phones],
        emails: [...emails],
        interopId,
        ...avatar(card.avatar),
      }));
      return { case: 'contacts', value: { contacts } };
    },
    read: reads('contacts', value => ({ contacts: value.contacts.map(readCard) })),
  },
  location: {
    case: 'location',
    capability: 'locations',
    check: checkLocation,
    write: ({ liveUntilMs = 0, ...place }) => ({
      case: 'location',
      value: { ...place, liveUntilMs: BigInt(liveUntilMs) },
    }),
    read: reads('location', readLocation),
  },
};
