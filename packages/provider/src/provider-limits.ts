// The provider's named limits. Values only.

/** Named limits. */
export const providerLimits = {
  /** Logins and registrations from one address: 100, refilled in 15 minutes. */
  addressAttempts: { burst: 100, refillMs: 900_000, maxKeys: 50_000 },
  /** The same from all addresses of one IPv6 /48. */
  siteAttempts: { burst: 1_600, refillMs: 900_000, maxKeys: 50_000 },
  /** Logins from one address with one identifier since the last success: 20, refilled in 15 minutes. */
  pairAttempts: { burst: 20, refillMs: 900_000, maxKeys: 50_000 },
  /** Logins with one identifier from all addresses together: from the 101st within 15 minutes on each is slowed down. */
  identifierAttempts: { burst: 100, refillMs: 900_000, maxKeys: 50_000 },
  /** How long a login waits that is slowed down, and how many may wait at once. */
  slowedAttempts: { delayMs: 2_000, maxWaiting: 1_000 },
  /** Proofs for one person: 120, refilled in a minute. */
  proofs: { burst: 120, refillMs: 60_000, maxKeys: 50_000 },
  /** Of a port: in all, of one address, and for how many such addresses a /48 of IPv6 counts. The longest idle one gives way. */
  maxConnections: 20_000,
  connectionsPerAddress: 512,
  addressesPerSite: 4,
  maxHeaderBytes: 16_384,
  requestTimeoutMs: 15_000,
  keepAliveTimeoutMs: 5_000,
  closeTimeoutMs: 5_000,
  housekeepingMs: 300_000,
} as const;
