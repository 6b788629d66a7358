// What the admin API takes and answers, as schemas. Knows nothing of where it comes from.
import { Type } from 'typebox';

export const closed = { additionalProperties: false };
export const maxReasonLength = 500;

export const InteropId = Type.String({ pattern: '^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$' });
export const Time = Type.String({ format: 'date-time' });
const Count = Type.Integer({ minimum: 0 });
const ProviderNumber = Type.Integer({ minimum: 0, maximum: 65_535 });
const ProviderStatus = Type.Union([Type.Literal('sandbox'), Type.Literal('live'), Type.Literal('suspended')]);
const PersonStatus = Type.Union([Type.Literal('active'), Type.Literal('suspended')]);
export const Reason = Type.String({
  minLength: 1,
  maxLength: maxReasonLength,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: 'in your words, for the audit log',
});

export const providerParams = Type.Object({ number: Type.String({ pattern: '^(0|[1-9][0-9]{0,4})$' }) }, closed);
export const personParams = Type.Object({ interopId: InteropId }, closed);
/** The body may be left out. */
export const reasonBody = Type.Union([Type.Object({ reason: Type.Optional(Reason) }, closed), Type.Null()]);
export const reasonQuery = Type.Object({ reason: Type.Optional(Reason) }, closed);
export const findQuery = Type.Object(
  {
    provider: Type.String({ minLength: 1, maxLength: 253, description: 'number or DNS name' }),
    identifier: Type.String({ minLength: 1, maxLength: 1_024, description: 'user-visible identifier, exactly' }),
  },
  closed,
);
const identifier = Type.String({ minLength: 1, maxLength: 1_024, description: 'user-visible identifier, exactly' });
export const ownUserQuery = Type.Object({ identifier }, closed);
export const ownUserReasonQuery = Type.Object({ identifier, reason: Type.Optional(Reason) }, closed);
export const auditQuery = Type.Object(
  {
    after: Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$', description: 'entries behind this `seq`' })),
    limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$', description: 'at most so many; 100' })),
    subject: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'of this subject alone' })),
  },
  closed,
);

export const Health = Type.Object({ status: Type.Literal('ok') }, closed);
export const Readiness = Type.Object(
  {
    status: Type.Union([Type.Literal('ready'), Type.Literal('not-ready')]),
    storage: Type.Union([Type.Literal('works'), Type.Literal('full'), Type.Literal('late'), Type.Literal('failed')]),
    providersWithoutKeys: Count,
    clock: Type.Union(
      [Type.Literal('believed'), Type.Literal('ahead'), Type.Literal('behind'), Type.Literal('differs')],
      { description: 'not believed: nothing expires by it, and the log says what to do' },
    ),
  },
  closed,
);
export const Providers = Type.Object(
  {
    providers: Type.Array(
      Type.Object(
        {
          number: ProviderNumber,
          name: Type.String({ description: 'DNS name' }),
          issuer: Type.String(),
          status: ProviderStatus,
          trustClass: Type.Union([Type.Literal('standard'), Type.Literal('trial')]),
          suites: Type.Array(Type.String()),
          enlistments: Count,
          mailboxBytes: Count,
          applied: Type.Boolean({ description: 'by an application; otherwise by the configuration' }),
        },
        closed,
      ),
    ),
  },
  closed,
);
export const ProviderNamed = Type.Object({ number: ProviderNumber }, closed);
export const ProviderChanged = Type.Object({ number: ProviderNumber, status: ProviderStatus }, closed);
export const PersonChanged = Type.Object({ interopId: InteropId, status: PersonStatus }, closed);

const DeviceStream = Type.Union([Type.Literal('connected'), Type.Literal('resumable'), Type.Literal('none')], {
  description: '`resumable`: the connection was lost, the session waits',
});
const Device = Type.Object(
  {
    deviceId: Type.Integer({ minimum: 1, maximum: 127 }),
    registrationId: Type.Integer(),
    deviceKeyThumbprint: Type.String(),
    listed: Type.Boolean({ description: "named by the person's device manifest, or there is none" }),
    enlistedAt: Time,
    oneTimeKeys: Type.Object({ prekeys: Count, kemPrekeys: Count }, closed),
    waiting: Type.Object({ count: Count, bytes: Count }, closed),
    stream: DeviceStream,
  },
  closed,
);
const personMembers = {
  interopId: InteropId,
  provider: Type.Object({ number: ProviderNumber, name: Type.Optional(Type.String()) }, closed),
  identifier: Type.String(),
  status: PersonStatus,
  enlistedAt: Time,
  suspension: Type.Optional(
    Type.Object({ at: Time, actor: Type.String(), reason: Type.Optional(Type.String()) }, closed),
  ),
  optIns: Type.Array(ProviderNumber, { description: 'providers whose people may reach this own user' }),
  devices: Type.Array(Device),
};
const OwnUser = Type.Object(
  {
    login: Type.Optional(Type.Object({ registeredAt: Time, suspended: Type.Boolean() }, closed)),
    sessions: Type.Array(Type.Object({ expiresAt: Time }, closed)),
    files: Type.Array(
      Type.Object({ sizeBytes: Count, keptBytes: Count, complete: Type.Boolean(), expiresAt: Time }, closed),
      { description: 'encrypted uploads; `keptBytes` is what has come of one that is not complete' },
    ),
    wakeUps: Type.Array(Type.Object({ gatekeeper: Type.String(), attempts: Count, nextAt: Time }, closed)),
    givenUpWakeUps: Type.Array(
      Type.Object({ gatekeeper: Type.String(), attempts: Count, reason: Type.String(), gaveUpAt: Time }, closed),
    ),
  },
  { ...closed, description: 'what the embedded issuer keeps of an own user' },
);
export const OwnUserFound = Type.Object(
  {
    identifier,
    interopId: Type.Optional(Type.String({ description: 'the person is enlisted: delete them by this' })),
    ...OwnUser.properties,
  },
  closed,
);
export const OwnUserChanged = Type.Object({ identifier, suspended: Type.Boolean() }, closed);
export const OwnUserDeleted = Type.Object(
  {
    login: Type.Boolean({ description: 'whether there was one' }),
    sessions: Count,
    files: Type.Object({ count: Count, bytes: Count }, closed),
    wakeUps: Count,
  },
  { ...closed, description: 'what went at the embedded issuer' },
);
export const PersonDeleted = Type.Object(
  {
    interopId: InteropId,
    devices: Type.Integer({ minimum: 0, description: 'with their keys and waiting mail' }),
    ownUser: Type.Optional(OwnUserDeleted),
  },
  closed,
);
export const Person = Type.Object(personMembers, closed);
export const Devices = Type.Object({ interopId: InteropId, devices: Type.Array(Device) }, closed);
export const Exported = Type.Object(
  {
    ...personMembers,
    exportedAt: Time,
    ownUser: Type.Optional(OwnUser),
    kept: Type.Record(
      Type.String(),
      Type.Array(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Null()]))),
      { description: 'every other row that names the person or a device, by table; bytes as base64' },
    ),
    mail: Type.Array(
      Type.Object(
        {
          deviceId: Type.Integer(),
          seq: Count,
          expiresAt: Time,
          sender: Type.Optional(InteropId),
          stanza: Type.String({ description: 'base64 of the compact codec (docs/protocol/07); encrypted content' }),
        },
        closed,
      ),
      { description: 'what waits for the devices' },
    ),
  },
  closed,
);
export const Streams = Type.Object(
  {
    connected: Count,
    resumable: Count,
    providers: Type.Array(Type.Object({ number: ProviderNumber, connected: Count, resumable: Count }, closed)),
  },
  closed,
);
const Digest = Type.String({ description: 'of the entry and all before it (docs/protocol/10), hex' });
export const AuditHead = Type.Object(
  { seq: Count, digest: Digest, lastSeq: Type.Integer({ minimum: 0, description: 'the highest number ever given' }) },
  closed,
);
export const Audit = Type.Object(
  {
    entries: Type.Array(
      Type.Object(
        {
          seq: Type.Integer(),
          at: Time,
          actor: Type.String(),
          action: Type.String(),
          subject: Type.String(),
          reason: Type.Optional(Type.String()),
          digest: Digest,
        },
        closed,
      ),
    ),
  },
  closed,
);
