// The limits of what a peer may send, by name. Knows nothing of who enforces them.
// Source: docs/protocol/04-streams.md section 4.1, docs/protocol/06-stanzas.md section 6.1.

/** What the XML decoder allows. All byte figures count UTF-8. */
export type XmlLimits = {
  /** One top-level element (or stream header), from its `<` to its last `>`. */
  readonly elementBytes: number;
  /**
   * An element above `elementBytes` and up to this is read to its end and given as an `OversizedElement`, without what it
   * holds, so that it can be answered; `elementBytes` when left out.
   */
  readonly readableBytes?: number;
  /** Open elements, the top-level one included; the stream's root is not counted. */
  readonly depth: number;
  /** Attributes of one element; namespace declarations are counted by `namespaces`. */
  readonly attributes: number;
  /** Child nodes of one element; adjoining text and CDATA are one node. */
  readonly children: number;
  /** Namespace declarations in force at one element, those of the stream's root included. */
  readonly namespaces: number;
  /** An element's or attribute's name with its prefix. */
  readonly nameBytes: number;
  /** An attribute's value, its references expanded. */
  readonly attributeBytes: number;
};

export const xmlLimitsBeforeLogin: XmlLimits = {
  elementBytes: 16 * 1024,
  depth: 16,
  attributes: 32,
  children: 4096,
  namespaces: 32,
  nameBytes: 256,
  attributeBytes: 16 * 1024,
};

export const xmlLimitsAfterLogin: XmlLimits = { ...xmlLimitsBeforeLogin, elementBytes: 256 * 1024 };
/** The same for a gatekeeper, which refuses one stanza rather than the stream that it came on. */
export const xmlLimitsOfSession: Required<XmlLimits> = { ...xmlLimitsAfterLogin, readableBytes: 512 * 1024 };

/** One ciphertext of an envelope, as bytes. */
export const maxCiphertextBytes = 64 * 1024;
/** All ciphertexts of an envelope together, as bytes. */
export const maxEnvelopeBytes = 256 * 1024;
/** Devices an envelope may address: as many as device ids exist. */
export const maxCiphertexts = 127;
/** A commitment to a content, or a gatekeeper's stamp on one. */
export const digestBytes = 32;
/** A suite's name. */
export const maxSuiteLength = 32;
export const maxDeviceId = 127;
export const maxRegistrationId = 16380;
/** Each part of a JID (RFC 7622 section 3.1). */
export const maxJidPartBytes = 1023;
export const maxStanzaIdLength = 64;
