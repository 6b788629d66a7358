// What the admin API's routes about reports take and answer, as schemas. Knows nothing of where it comes from.
import { Type } from 'typebox';
import { closed, InteropId, Reason, Time } from './admin-schemas.ts';

const reportId = Type.String({ pattern: '^[A-Za-z0-9_-]{22}$' });
export const reportParams = Type.Object({ id: reportId }, closed);
export const reportsQuery = Type.Object(
  {
    reported: Type.Optional(InteropId),
    open: Type.Optional(Type.Literal('true', { description: 'those without a decision alone' })),
    before: Type.Optional(Type.String({ format: 'date-time', description: 'those that came before' })),
    limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$', description: 'at most so many; 100' })),
  },
  closed,
);
const Decision = Type.Union([Type.Literal('upheld'), Type.Literal('dismissed')]);
export const decisionBody = Type.Object(
  {
    decision: Decision,
    reason: Type.Optional(Reason),
    tellProvider: Type.Optional(
      Type.Boolean({
        description: 'upheld: the provider of whoever was reported is told, never who reported or what was said',
      }),
    ),
  },
  closed,
);
export const ReportDecided = Type.Object({ id: reportId, decision: Decision }, closed);

const summaryMembers = {
  id: reportId,
  reporter: InteropId,
  reported: InteropId,
  category: Type.Union([
    Type.Literal('spam'),
    Type.Literal('fraud'),
    Type.Literal('abuse'),
    Type.Literal('illegal'),
    Type.Literal('other'),
  ]),
  at: Time,
  status: Type.Union([Type.Literal('open'), ...Decision.anyOf]),
  decided: Type.Optional(Type.Object({ actor: Type.String(), at: Time }, closed)),
};
export const Reports = Type.Object(
  {
    reports: Type.Array(
      Type.Object({ ...summaryMembers, messages: Type.Integer({ minimum: 1, description: 'how many' }) }, closed),
    ),
  },
  closed,
);
const base64 = (description: string) => Type.String({ description: `base64: ${description}` });
export const ShownReport = Type.Object(
  {
    ...summaryMembers,
    comment: Type.Optional(Type.String()),
    messages: Type.Array(
      Type.Object(
        {
          stanzaId: Type.String(),
          acceptedAt: Time,
          content: base64('what was said, as it was encrypted (schema/content.proto)'),
          salt: base64('opens the commitment'),
          commitment: base64("the sender's"),
          stamp: base64("this gatekeeper's"),
          verdict: Type.String({ description: '`verified`, or what speaks against it now' }),
        },
        closed,
      ),
    ),
  },
  closed,
);
