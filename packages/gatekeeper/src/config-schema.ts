// The shape of the gatekeeper's configuration: every key with its bounds, its default and a sentence for operators.
// Knows nothing of files or of what the values do; docs/operations/configuration.md is made from this schema.
import { mediaStorageSchema } from '@drawbridge/provider/media-storage';
import { type Static, type TProperties, Type } from 'typebox';

type Options = { readonly description?: string; readonly default?: unknown };

/** An object that has exactly these members. */
function closed<P extends TProperties>(properties: P, options: Options = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

function count(value: number, maximum: number, description: string) {
  return Type.Integer({ minimum: 1, maximum, default: value, description });
}

/** `burst` at once, then one more every `refillSeconds`. */
function budget(burst: number, refillSeconds: number, description: string) {
  return closed(
    {
      burst: Type.Integer({ minimum: 1, maximum: 1_000_000, default: burst, description: 'how many at once' }),
      refillSeconds: Type.Number({
        minimum: 0.0001,
        maximum: 86_400,
        default: refillSeconds,
        description: 'seconds until there is one more',
      }),
    },
    { description, default: {} },
  );
}

function threshold(refusals: number, percent: number, description: string) {
  return closed(
    {
      refusals: count(refusals, 1_000_000, 'refusals and reports, as they count'),
      percent: Type.Integer({
        minimum: 1,
        maximum: 100,
        default: percent,
        description: 'and of all that was decided at least so many in a hundred',
      }),
    },
    { default: {}, description },
  );
}

const hostText = 'address or name to listen on';
const url = (description: string) => Type.String({ minLength: 8, maxLength: 2048, pattern: '^https?://', description });

function listener(description: string, defaultHost = '::') {
  return closed(
    {
      host: Type.String({ minLength: 1, maxLength: 255, default: defaultHost, description: hostText }),
      port: Type.Integer({ minimum: 0, maximum: 65535, description: 'TCP port; 0 (any free one) in development only' }),
      proxyProtocol: Type.Boolean({
        default: false,
        description: 'connections begin with a PROXY header (version 2), and only `trustedProxies` may connect',
      }),
    },
    { description },
  );
}

const suites = Type.Array(Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{0,31}$' }), {
  minItems: 1,
  maxItems: 16,
  uniqueItems: true,
  default: ['signal-1'],
  description: 'end-to-end encryption suites that its users may send (docs/suites.md)',
});
const keySetOrigins = Type.Array(url('origin'), {
  maxItems: 4,
  default: [],
  description: "origins besides the issuer's own where its key set may lie",
});
const mediaOrigins = Type.Array(url('origin'), {
  maxItems: 16,
  default: [],
  description: 'origins where the encrypted files of its users lie; the media proxy fetches from nowhere else',
});
const wakeUpUrl = Type.Optional(url('where wake-ups are posted; `eventsUrl` when absent'));
const eventsUrl = Type.Optional(url('where events are posted (chapter 10.5); none are sent without it'));

const providerSchema = closed({
  number: Type.Integer({ minimum: 1, maximum: 65535, description: 'its number for ever; never given to another' }),
  name: Type.String({ minLength: 1, maxLength: 253, description: 'its DNS name' }),
  issuer: url('its issuer URL, exactly as in its proofs; no slash at the end'),
  keySetOrigins,
  mediaOrigins,
  wakeUpUrl,
  eventsUrl,
  suites,
  status: Type.Union([Type.Literal('live'), Type.Literal('suspended')], {
    default: 'live',
    description: '`suspended` here can not be lifted by the admin API',
  }),
  trustClass: Type.Union([Type.Literal('standard'), Type.Literal('trial')], {
    default: 'standard',
    description: "`trial`: a tenth of every provider's budget",
  }),
  quotas: closed(
    { enlistments: count(10_000_000, 1_000_000_000, 'people of this provider that may be enlisted') },
    { default: {}, description: 'what this provider may use up' },
  ),
});

export const embeddedUsers = closed({
  kind: Type.Literal('embedded', { description: 'the provider kit inside this process is their issuer, at `/users`' }),
  registration: Type.Union([Type.Literal('open'), Type.Literal('closed')], {
    default: 'closed',
    description: '`open`: anybody may make a user over HTTP; `closed`: the operator makes them',
  }),
  wakeUps: Type.Boolean({ default: true, description: "wake own users through the kit's wake-up stream" }),
  suites,
  mediaStorage: Type.Optional(mediaStorageSchema),
});
export const issuedUsers = closed({
  kind: Type.Literal('issuer', { description: "the operator's own OpenID issuer" }),
  issuer: url('issuer URL'),
  keySetOrigins,
  mediaOrigins,
  wakeUpUrl,
  eventsUrl,
  suites,
});

export const sqliteStorage = closed({
  kind: Type.Literal('sqlite', { description: 'the embedded store, a file in the data folder; one process' }),
});
export const postgresStorage = closed({
  kind: Type.Literal('postgres', { description: 'a PostgreSQL database (15 or later)' }),
  url: Type.String({
    minLength: 12,
    maxLength: 2048,
    pattern: '^postgres(ql)?://',
    description: '`postgresql://user@host:5432/database?sslmode=verify-full`, without a password',
  }),
  passwordFile: Type.Optional(
    Type.String({ minLength: 1, description: "file that holds the user's password alone; without it none is sent" }),
  ),
});

export const configSchema = closed({
  mode: Type.Union([Type.Literal('production'), Type.Literal('development')], {
    default: 'production',
    description: '`development` allows plain HTTP, loopback addresses, port 0 and unlimited budgets',
  }),
  domain: Type.String({ minLength: 1, maxLength: 253, description: 'DNS name that stands in every JID' }),
  issuer: url("this gatekeeper's issuer URL: the `aud` of every ownership proof; no slash at the end"),
  dataFolder: Type.String({ minLength: 1, default: 'data', description: 'database, keys, admin token' }),
  storage: Type.Union([sqliteStorage, postgresStorage], {
    default: { kind: 'sqlite' },
    description: 'where people, keys and mailboxes are kept',
  }),
  bus: Type.Optional(
    closed(
      {
        kind: Type.Literal('nats', { description: 'core NATS (2.9 or later)' }),
        servers: Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
          minItems: 1,
          maxItems: 16,
          description: '`host:port`, or `tls://host:port`',
        }),
        credentialsFile: Type.Optional(Type.String({ minLength: 1, description: "a NATS user's credentials file" })),
        caFile: Type.Optional(Type.String({ minLength: 1, description: "PEM, the authority of the servers' TLS" })),
      },
      { description: 'what nodes of one PostgreSQL database tell one another, so that messages take no detour' },
    ),
  ),
  publicHost: Type.Optional(
    Type.String({ minLength: 1, maxLength: 253, description: 'name that clients connect to; the domain when absent' }),
  ),
  terms: Type.Optional(url('terms and reference offer for people and providers')),
  contact: Type.Optional(
    closed(
      {
        name: Type.String({ minLength: 1, maxLength: 200, description: 'who runs this gatekeeper' }),
        email: Type.String({ minLength: 3, maxLength: 200, description: 'for providers and reports' }),
      },
      { description: 'stands in the reference offer and in the agreement' },
    ),
  ),
  tls: Type.Optional(
    closed(
      {
        certFile: Type.String({ minLength: 1, description: 'PEM, with the intermediate certificates' }),
        keyFile: Type.String({ minLength: 1, description: 'PEM' }),
        watchSeconds: Type.Integer({
          minimum: 1,
          maximum: 86_400,
          default: 10,
          description: 'how often it is looked whether the files have changed; SIGHUP looks at once',
        }),
      },
      { description: 'certificate of all listeners but `admin` and `compact`; needed in production' },
    ),
  ),
  listeners: closed(
    {
      xmpp: Type.Optional(listener('XMPP with STARTTLS; usually 5222')),
      xmpps: Type.Optional(listener('XMPP with direct TLS; usually 5223')),
      websocket: Type.Optional(listener('XMPP over WebSocket, path /xmpp; may be the same as `http`')),
      compact: Type.Optional(listener('compact transport over TCP')),
      compactWebsocket: Type.Optional(listener('compact transport over WebSocket; may be the same as `http`')),
      http: listener('enlistment API and well-known documents'),
      admin: closed(
        {
          host: Type.String({ minLength: 1, maxLength: 255, default: '127.0.0.1', description: hostText }),
          port: Type.Integer({ minimum: 0, maximum: 65535, default: 9320, description: 'TCP port' }),
        },
        { description: 'admin API, metrics, health; plain HTTP, keep it off the Internet', default: {} },
      ),
      health: Type.Optional(
        closed(
          {
            host: Type.String({ minLength: 1, maxLength: 255, default: '127.0.0.1', description: hostText }),
            port: Type.Integer({ minimum: 0, maximum: 65535, default: 9321, description: 'TCP port' }),
          },
          { description: '`/healthz` and `/readyz` alone, for supervisors and load balancers; plain HTTP' },
        ),
      ),
    },
    { description: 'absent ones do not listen' },
  ),
  drain: closed(
    {
      noticeSeconds: Type.Integer({
        minimum: 0,
        maximum: 600,
        default: 0,
        description:
          'first `/readyz` says no for so long and everything goes on, so that a load balancer sends nobody new',
      }),
      spreadSeconds: Type.Integer({
        minimum: 0,
        maximum: 600,
        default: 2,
        description: 'then streams are told to come again, in random order within this time',
      }),
      deadlineSeconds: count(
        10,
        1_800,
        'after so long in all, what is not written is given up and the exit code says so',
      ),
    },
    { default: {}, description: 'the stages of a stop (SIGTERM)' },
  ),
  log: closed(
    {
      level: Type.Union([Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')], {
        default: 'info',
        description: 'lines of at least this level are written',
      }),
      linesPerMinute: count(60, 1_000_000, 'lines of one event and code; how many more there were is one line'),
    },
    { default: {}, description: 'what is logged' },
  ),
  trustedProxies: Type.Array(Type.String(), {
    maxItems: 32,
    default: [],
    description:
      'addresses of reverse proxies and load balancers whose X-Forwarded-For and PROXY headers are believed; none by default',
  }),
  relays: Type.Array(
    closed({
      endpoint: Type.Optional(
        Type.String({
          pattern: '^(\\[[0-9a-f:.]+\\]|[a-z0-9.-]+):[1-9][0-9]{0,4}$',
          maxLength: 261,
          description: '`host:port` where clients reach it; stands in the reference offer',
        }),
      ),
      addresses: Type.Array(Type.String(), {
        minItems: 1,
        maxItems: 32,
        description: 'addresses or ranges from which its connections come',
      }),
      shares: count(
        100,
        100_000,
        'what connections, requests and enlistments by address it may have: so many times one',
      ),
    }),
    {
      maxItems: 64,
      default: [],
      description:
        'address-hiding relays (`drawbridge relay`): one that is not named here has what one address has, for all behind it',
    },
  ),
  ownUsers: Type.Union([embeddedUsers, issuedUsers], {
    default: { kind: 'embedded' },
    description: "who vouches for the gatekeeper's own users (provider 0)",
  }),
  providers: Type.Array(providerSchema, { maxItems: 4096, default: [], description: 'third-party providers' }),
  policy: closed(
    {
      admittedPairs: Type.Array(
        Type.Tuple([Type.Integer({ minimum: 1, maximum: 65535 }), Type.Integer({ minimum: 1, maximum: 65535 })]),
        {
          maxItems: 4096,
          default: [],
          description: 'pairs of third-party providers whose users may reach each other here; [n, n] within one',
        },
      ),
      requests: Type.Union([Type.Literal('across-providers'), Type.Literal('none')], {
        default: 'across-providers',
        description:
          'whose first messages are a request, which is bounded until the recipient accepts or answers: people of another provider, or nobody',
      }),
      linkOnly: Type.Array(Type.Integer({ minimum: 0, maximum: 65535 }), {
        maxItems: 4096,
        uniqueItems: true,
        default: [],
        description:
          'providers (0: own users) whose people are found by strangers of other providers by their personal links alone; each person may choose it too',
      }),
    },
    { default: {}, description: 'who may reach whom' },
  ),
  applications: closed(
    {
      open: Type.Boolean({ default: true, description: 'whether providers may apply over HTTP' }),
      waiting: count(200, 10_000, 'applications that may wait for a decision'),
      waitingPerDomain: count(4, 1_000, 'of these, applications below one domain (the last two labels)'),
      waitingDays: count(90, 730, 'days until an application that nobody decided on is refused'),
      checksAtOnce: count(8, 256, 'statements of providers that are being verified: each may fetch a key set'),
      suites,
      regions: Type.Array(Type.String({ pattern: '^[A-Z][A-Z0-9-]{1,15}$' }), {
        maxItems: 64,
        default: [],
        description: 'regions that providers may declare for their people (ISO 3166, or `EEA`); any when empty',
      }),
      sandboxEnlistments: count(20, 10_000, 'people that a provider may enlist in the sandbox'),
      sandboxPeople: Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
        maxItems: 100,
        default: [],
        description: 'own users, by identifier, whom people of a provider in the sandbox may reach when they opt in',
      }),
      liveEnlistments: count(
        100_000,
        1_000_000_000,
        'people that a provider may enlist once it is live, unless changed',
      ),
    },
    { default: {}, description: 'providers that apply by themselves' },
  ),
  egress: closed(
    {
      allowAddresses: Type.Array(Type.String(), {
        maxItems: 16,
        default: [],
        description: 'addresses that are not public and may be reached all the same; development only',
      }),
      allowPlainHttpOrigins: Type.Array(url('origin'), {
        maxItems: 64,
        default: [],
        description: 'loopback origins that may be reached without TLS; development only',
      }),
      caFile: Type.Optional(
        Type.String({ minLength: 1, description: "PEM, trusted instead of the system's authorities" }),
      ),
      nameServers: Type.Array(Type.String({ minLength: 2, maxLength: 64 }), {
        maxItems: 8,
        default: [],
        description: "DNS servers, `address`, `address:port` or `[address]:port`; the system's when empty",
      }),
    },
    { default: {}, description: 'outgoing requests' },
  ),
  limits: closed(
    {
      devicesPerAccount: count(16, 64, 'devices that one person may have at once'),
      oneTimeKeysPerCall: count(50, 100, 'one-time keys of each kind in one `publish`'),
      oneTimeKeysPerEnlistment: count(100, 100, 'one-time keys of each kind in one enlistment'),
      oneTimeKeysKept: count(200, 1_000, 'one-time keys of each kind kept for a device'),
      lowKeysNotice: count(20, 100, 'below this many one-time keys, the device is told'),
      authorisationsPerAccount: count(10, 100, 'device authorisations that wait to be used'),
      authorisationLifetimeSeconds: count(600, 86_400, 'life of a device authorisation'),
      mailboxEntries: count(200_000, 10_000_000, 'messages that may wait for one device'),
      mailboxBytes: count(268_435_456, 17_179_869_184, 'bytes that may wait for one device'),
      mailboxEntriesPerSender: count(50_000, 10_000_000, 'of these, messages of one person'),
      mailboxBytesPerSender: count(67_108_864, 17_179_869_184, 'of these, bytes of one person'),
      mailboxBytesPerPerson: count(536_870_912, 274_877_906_944, 'bytes that may wait for all devices of one person'),
      mailboxBytesPerProvider: count(
        68_719_476_736,
        1_125_899_906_842_624,
        'bytes that may wait for all people of one provider',
      ),
      mailboxDays: count(30, 365, 'days until a waiting message expires'),
      reportDays: count(90, 3_650, 'days until a report is deleted, decided or not'),
      reportsKept: count(10_000, 10_000_000, 'reports that are kept'),
      reportsKeptPerPerson: count(100, 1_000_000, 'of these, reports by one person'),
      reportsKeptBytes: count(268_435_456, 1_099_511_627_776, 'bytes of all reports'),
      connectionsPerAddress: count(32, 100_000, 'connections of one address (IPv4, or /64 of IPv6) before login'),
      connectionsPerSite: count(256, 100_000, 'connections of one /48 of IPv6 before login'),
      connectionsBeforeLogin: count(20_000, 10_000_000, 'all connections before login'),
      streams: count(
        200_000,
        10_000_000,
        'connections of clients in this process, HTTP included; each needs an open file',
      ),
      httpConnections: count(2_048, 100_000, 'open connections of each HTTP listener, WebSockets not counted'),
      httpConnectionsPerAddress: count(
        128,
        100_000,
        'of these, connections of one address (IPv4, or /64 of IPv6); `trustedProxies` are exempt',
      ),
      httpConnectionsPerSite: count(512, 100_000, 'of these, connections of one /48 of IPv6'),
      httpBodyMebibytes: count(
        256,
        1_048_576,
        'MiB of request bodies under way on the public HTTP port; when it is full, the address or /48 that holds most loses its oldest half-sent body to one that holds less, and a body that hardly moves gives way to one that does',
      ),
      httpBodyMebibytesPerAddress: count(
        16,
        1_048_576,
        'of these, MiB of one address (IPv4, or /64 of IPv6), by `X-Forwarded-For` behind `trustedProxies`',
      ),
      httpBodyMebibytesPerSite: count(32, 1_048_576, 'of these, MiB of one /48 of IPv6'),
      stanzaBurst: count(5_000, 1_000_000, 'stanzas of any kind that one device may send at once'),
      stanzasPerSecond: count(100, 100_000, 'and per second after that; faster ones are read more slowly'),
      streamMebibyteBurst: count(32, 1_024, 'MiB that one device may send at once'),
      streamKibibytesPerSecond: count(4_096, 1_048_576, 'and KiB per second after that'),
      unacknowledgedMebibytes: count(256, 1_048_576, 'MiB that all streams may have been given and not acknowledged'),
      accountCacheEntries: count(100_000, 10_000_000, 'accounts held in memory'),
      wakeUpIntervalSeconds: count(30, 3_600, 'at most one wake-up per person in this time'),
      wakeUpsWaiting: count(100_000, 10_000_000, 'wake-ups that may wait to be sent'),
      eventsWaitingPerProvider: count(10_000, 1_000_000, 'events that wait to be told to one provider'),
      deadEventsPerProvider: count(1_000, 100_000, 'events that one provider could not be told, kept to be told again'),
      deadEventDays: count(30, 365, 'days until these are deleted'),
      eventsAtOnce: count(4, 64, 'events that are told to one provider at once'),
      eventLifetimeHours: count(72, 720, 'hours until an event that can not be told is given up'),
      wakeUpsWaitingPerProvider: count(25_000, 10_000_000, 'of these, wake-ups to one provider'),
      wakeUpLifetimeSeconds: count(3_600, 86_400, 'a wake-up that could not be sent for so long is given up'),
      wakeUpsAtOnce: count(8, 256, 'wake-ups under way to one provider'),
      mediaFileBytes: count(
        2_170_552_320,
        1_099_511_627_776,
        'largest encrypted file that the media proxy passes on; the default fits a file of 2 GiB',
      ),
      mediaFetches: count(256, 10_000, 'fetches under way in the media proxy'),
      mediaFetchesPerProvider: count(
        128,
        10_000,
        'of these, fetches for the people of one provider, and from the origins of one provider',
      ),
      mediaFetchesPerAccount: count(8, 1_000, 'fetches under way for one person'),
      mediaFetchSeconds: count(3_600, 86_400, 'longest time of one fetch; the client goes on with a range'),
      mediaIdleSeconds: count(30, 3_600, 'a fetch in which nothing moves for so long is ended'),
      mediaGrantSeconds: count(3_600, 86_400, 'life of a media grant'),
    },
    { default: {}, description: 'sizes and counts' },
  ),
  integrity: closed(
    {
      enabled: Type.Boolean({
        default: true,
        description: 'restrict whoever is refused or reported often by people to whom they wrote first (chapter 10.3)',
      }),
      halfLifeDays: Type.Number({
        minimum: 0.01,
        maximum: 90,
        default: 7,
        description: 'after so many days a decision counts half; after four times as many it is not read any more',
      }),
      freshDays: Type.Number({
        minimum: 0,
        maximum: 365,
        default: 7,
        description: 'all people of one provider who decided within so many days of enlisting count as one',
      }),
      voicesPerProvider: count(
        3,
        1_000_000,
        'what all people of one third-party provider count at most; below `slowed.refusals`, so that no provider alone can restrict anybody',
      ),
      upheldReportCounts: count(3, 1_000, 'what a report counts that an operator has upheld'),
      unanswered: count(100, 1_000_000, 'first contacts nobody has answered, from which on a person is slowed down'),
      slowedCosts: Type.Integer({
        minimum: 2,
        maximum: 1_000,
        default: 10,
        description: 'first contacts that one of somebody who is slowed down costs',
      }),
      slowed: threshold(5, 50, 'slow down'),
      acceptedOnly: threshold(10, 60, 'no further first contacts'),
      suspended: threshold(30, 80, 'suspend, until it has decayed or an operator ends it'),
      provider: closed(
        {
          unanswered: count(10_000, 1_000_000_000, 'the same for all people of one third-party provider'),
          slowed: threshold(50, 50, 'slow all its people down'),
          acceptedOnly: threshold(200, 70, 'no further first contacts by its people'),
        },
        { default: {}, description: 'a provider as a whole; it is suspended by an operator alone' },
      ),
    },
    { default: {}, description: 'what follows when people refuse or report somebody' },
  ),
  budgets: closed(
    {
      unlimited: Type.Boolean({ default: false, description: 'no budgets at all, for load tests; development only' }),
      keysTracked: count(100_000, 10_000_000, 'parties remembered by each budget'),
      bundlesPerPair: budget(6, 600, 'prekey bundles of one device for one person'),
      bundlesPerRequester: budget(100, 10, 'prekey bundles for one person'),
      bundlesPerTarget: budget(200, 30, 'prekey bundles of one device for all'),
      bundlesPerTargetAndProvider: budget(60, 60, 'prekey bundles of one device for all people of one provider'),
      lookupsPerRequester: budget(60, 10, 'directory questions of one person'),
      lookupsPerProvider: budget(3_000, 0.05, 'directory questions of all people of one third-party provider'),
      publishesPerDevice: budget(30, 60, 'key uploads of one device'),
      storeCountsPerDevice: budget(30, 10, 'counts of its store by one device'),
      changesPerAccount: budget(30, 60, 'consent changes, authorisations, removals and device manifests by one person'),
      reportsPerPerson: budget(20, 1_800, 'reports by one person'),
      firstContactsPerDevice: budget(40, 300, 'people to whom one device writes first, and who have to accept'),
      firstContactsPerPerson: budget(60, 300, 'people to whom one person writes first'),
      firstContactsPerAddress: budget(200, 30, 'people to whom is written first from one address'),
      firstContactsPerProvider: budget(5_000, 0.5, 'people to whom all people of one third-party provider write first'),
      firstContactsPerTargetAndProvider: budget(
        40,
        300,
        'people of one third-party provider who write to one person first',
      ),
      contactChangesPerAccount: budget(300, 10, 'people accepted, denied, blocked or unblocked by one person'),
      mediaGrantsPerAccount: budget(300, 1, 'media grants for one person'),
      mediaMebibytesPerAccount: budget(8_192, 0.02, 'MiB through the media proxy for one person; above it, slower'),
      enlistmentsPerProvider: budget(2_000, 0.05, 'enlistments of one provider'),
      enlistmentsPerAddress: budget(60, 10, 'enlistments from one address'),
      eventsPerProvider: budget(1_000, 0.1, 'events that one provider tells of its people and keys'),
      lastingEventsPerProvider: budget(
        100_000,
        10,
        'the same in the long run: each may stay in the audit log for ever',
      ),
      statementsPerAddress: budget(10, 30, 'statements of providers from one address'),
      requestsPerAddress: budget(300, 0.1, 'HTTP requests from one address'),
    },
    { default: {}, description: 'rates; each says `wait` and when to come again' },
  ),
});

export type Config = Static<typeof configSchema>;
export type Limits = Config['limits'];
export type BudgetConfig = Config['budgets'];
