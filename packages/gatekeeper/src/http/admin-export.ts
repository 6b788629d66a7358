// The admin API's export of a person: everything that is kept, as one JSON text that is made while it is read.
// Knows nothing of credentials.
import { Readable } from 'node:stream';
import { Type } from 'typebox';
import type { PersonRecords, ViewedDevice } from '../admin/person-records.ts';
import { isoTime, showOwnUser, showPerson } from './admin-person.ts';
import type { AdminRoutes } from './admin-routes.ts';
import { ownUserOf } from './admin-own-user.ts';
import { Exported, personParams } from './admin-schemas.ts';
import { problem, problemResponses } from './app.ts';

/** Mail is read in pages of this size, while the one before is on its way: mailboxes may be large. */
const mailPage = { maxCount: 500, maxBytes: 1024 * 1024 };

export function addExportRoute({ app, deps, gate, about }: AdminRoutes): void {
  const { stores, nowMs } = deps;
  app.get(
    '/admin/v1/enlistments/:interopId/export',
    {
      onRequest: gate.needs('operator'),
      schema: {
        ...about('people', 'Everything that is kept of a person', 'operator'),
        params: personParams,
        response: {
          200: {
            description: 'The export',
            content: { 'application/json': { schema: Type.Unsafe<Readable>(Exported) } },
          },
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const { interopId } = request.params;
      const found = await stores.people.export(interopId);
      if (found === undefined) return problem(reply, 'enlistment-unknown');
      const { name } = gate.callerOf(request);
      await stores.audit.note({ atMs: nowMs(), actor: name, action: 'enlistment-exported', subject: interopId });
      const ownUser = await ownUserOf(deps, found.person)?.export();
      const head = {
        ...showPerson(deps, found.person),
        exportedAt: isoTime(nowMs()),
        ...(ownUser === undefined ? {} : { ownUser: showOwnUser(ownUser) }),
        kept: found.kept,
      };
      return reply
        .type('application/json')
        .send(Readable.from(exportText(head, mailOf(stores.people, found.person.devices))));
    },
  );
}

async function* exportText(head: object, mail: AsyncIterable<object>): AsyncGenerator<string> {
  yield `${JSON.stringify(head, base64Bytes).slice(0, -1)},"mail":[`;
  let between = '';
  for await (const entry of mail) {
    yield between + JSON.stringify(entry, base64Bytes);
    between = ',';
  }
  yield ']}';
}

async function* mailOf(people: PersonRecords, devices: readonly ViewedDevice[]): AsyncGenerator<object> {
  for (const { row, id } of devices) {
    let afterSeq = 0;
    for (;;) {
      const page = await people.mail(row, afterSeq, mailPage.maxCount, mailPage.maxBytes);
      if (page.length === 0) break;
      for (const { seq, expiresAtMs, sender, stanza } of page) {
        yield { deviceId: id, seq, expiresAt: isoTime(expiresAtMs), sender, stanza };
        afterSeq = seq;
      }
    }
  }
}

/** For `JSON.stringify`: rows hold plain byte arrays. */
function base64Bytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
