// What a kind of content is to the code that reads and writes contents: one row of the table in kinds.ts.
// Knows no kind.
// Source: docs/protocol/09-content.md section 9.3.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Content as ContentMessage, ContentSchema, DeviceSync_NotApplied_What } from '../gen/content_pb.ts';
import type { Capability } from './capabilities.ts';

/** `body` of a Content as protobuf-es reads it, and as it is told what to write. */
export type BodyMessage = ContentMessage['body'];
export type BodyInit = NonNullable<MessageInitShape<typeof ContentSchema>['body']>;
export type BodyCase = NonNullable<BodyMessage['case']>;
export type BodyValue<C extends BodyCase> = Extract<BodyMessage, { case: C }>['value'];

/** One kind: `B` is its body without `kind`, `C` its name in schema/content.proto. */
export type KindRow<B, C extends BodyCase = BodyCase> = {
  readonly case: C;
  /** Refuses (by `need` of checks.ts) what no sender may say and no reader takes. */
  readonly check: (body: B) => void;
  readonly write: (body: B) => BodyInit;
  /** Undefined: another kind, or a value of a later version. The limits are not checked yet. */
  readonly read: (message: BodyMessage) => B | undefined;
  /** The bit of devices that can show it (section 9.3). */
  readonly capability?: Capability;
  /** Not a message: nothing is lost for a reader who sees nothing of it. */
  readonly isQuiet?: true;
  /** Between one's own devices alone, and hence without a transcript. */
  readonly isOwnOnly?: true;
  /** It shows no message of its own. */
  readonly notApplied?: ActName;
};

/** How a person's devices tell each other that somebody did not get an act (section 9.9). */
export type ActName = { readonly what: DeviceSync_NotApplied_What; readonly isAboutMessage: boolean };

/** The rows of some kinds, of which `Acts` show no message of their own. */
export type KindTable<Bodies, Acts extends keyof Bodies> = {
  readonly [K in keyof Bodies]: KindRow<Bodies[K]> & (K extends Acts ? { readonly notApplied: ActName } : unknown);
};

type AnyMessage = { readonly case: string | undefined; readonly value?: unknown };

/** A `read` for the one case that a row is for. */
export function reads<C extends BodyCase, B>(
  bodyCase: C,
  read: (value: BodyValue<C>) => B | undefined,
): (message: BodyMessage) => B | undefined {
  const isThis = (message: AnyMessage): message is { readonly case: C; readonly value: BodyValue<C> } =>
    message.case === bodyCase;
  return (message: AnyMessage) => (isThis(message) ? read(message.value) : undefined);
}
