// Every error of the gatekeeper's HTTP interfaces, as problem details: one closed table. Knows nothing of routes.
// Source: RFC 9457; docs/protocol/03.
import type { ServerResponse } from 'node:http';
import { type Problem, problemDetails } from '@drawbridge/identity/problem-details';
import type { ProblemCode } from '@drawbridge/wire/problem-codes';

export type { ProblemCode } from '@drawbridge/wire/problem-codes';

export const problems: Readonly<Record<ProblemCode, Problem>> = {
  'request-refused': {
    status: 400,
    title: 'Request refused',
    detail: 'Send JSON with exactly the documented members (see /openapi.json).',
  },
  'device-keys-refused': {
    status: 400,
    title: 'Device keys refused',
    detail: 'Send keys in libsignal form, distinct ids, and signatures of the identity key over each key.',
  },
  'possession-refused': {
    status: 400,
    title: 'Possession refused',
    detail: 'Sign the statement of possession with the identity key, for this issuer, device key and enlistment.',
  },
  'proof-refused': { status: 401, title: 'Proof refused', detail: 'Get a fresh ownership proof for this device key.' },
  'admin-credential-required': {
    status: 401,
    title: 'Admin credential required',
    detail: 'Send the token of an admin, or of the admin-token file in the data folder, as a bearer token.',
  },
  'admin-role-required': {
    status: 403,
    title: 'Another role required',
    detail: 'Ask an owner: your role does not allow this.',
  },
  'enlistment-suspended': { status: 403, title: 'Enlistment suspended', detail: 'Ask the operator.' },
  'provider-quota': {
    status: 403,
    title: "The provider's quota is used up",
    detail: 'The provider has to ask the operator for more.',
  },
  'not-found': { status: 404, title: 'Not found', detail: 'Check the method and the path (see /openapi.json).' },
  'enlistment-unknown': { status: 404, title: 'No such enlistment', detail: 'Check the InteropId, or enlist.' },
  'own-user-unknown': { status: 404, title: 'No such own user', detail: 'Check the identifier, letter by letter.' },
  'own-user-enlisted': {
    status: 409,
    title: 'This own user is enlisted',
    detail: 'Find the person and delete the enlistment: login and files go with it.',
  },
  'device-unknown': { status: 404, title: 'No such device', detail: 'Ask for the list of devices.' },
  'provider-unknown': { status: 404, title: 'No such provider', detail: 'Ask for the list of providers.' },
  'event-unknown': {
    status: 404,
    title: 'Event unknown',
    detail: 'Ask for the list of dead events.',
  },
  'report-unknown': { status: 404, title: 'No such report', detail: 'Ask for the list of reports.' },
  'report-decided': { status: 409, title: 'Decided before', detail: 'A decision stands: look at the report.' },
  'device-authorisation-required': {
    status: 409,
    title: 'Device authorisation required',
    detail: 'Let a device that is enlisted authorise this device key, or send replace: true to start again.',
  },
  'identity-key-in-use': {
    status: 409,
    title: 'Identity key in use',
    detail: 'Make a new identity key: this one belongs to another enlistment.',
  },
  'identity-key-differs': {
    status: 409,
    title: 'Identity key differs',
    detail: 'A further device carries the identity key of the others; to start again send replace: true.',
  },
  'identity-key-not-fresh': {
    status: 409,
    title: 'Identity key not fresh',
    detail: 'To start again make a new identity key: a device that was removed holds this one.',
  },
  'device-limit': { status: 409, title: 'Too many devices', detail: 'Remove a device first.' },
  'suspended-by-configuration': {
    status: 409,
    title: 'Suspended by configuration',
    detail: "Change the provider's status in the configuration file and restart.",
  },
  'key-set-not-fetched': {
    status: 502,
    title: 'Key set not fetched',
    detail: 'The provider gave no key set, and nothing was ended. Suspend the provider, which ends all its streams.',
  },
  'statement-refused': {
    status: 401,
    title: 'Statement refused',
    detail: 'Sign a fresh statement for this gatekeeper with a key that your issuer publishes (section 10.6).',
  },
  'statement-not-judged': {
    status: 503,
    title: 'Statement not judged',
    detail: "Your issuer's key set could not be fetched. Nothing was changed. Try again after retryAfterSeconds.",
  },
  'application-refused': {
    status: 409,
    title: 'Application refused',
    detail: 'Mend what the detail names, and apply again.',
  },
  'application-unknown': { status: 404, title: 'No such application', detail: 'Apply first, or check the id.' },
  'application-stage': {
    status: 409,
    title: 'Not at this stage',
    detail: 'Ask how it stands: applied, then sandbox, then live; withdrawn and refused are the end.',
  },
  'applications-closed': {
    status: 403,
    title: 'No applications over HTTP',
    detail: 'Write to the contact of the reference offer.',
  },
  'applications-full': {
    status: 503,
    title: 'Too many applications wait',
    detail: 'Apply again in some days, or write to the contact of the reference offer.',
  },
  'agreement-differs': {
    status: 409,
    title: 'Another agreement is in force',
    detail: 'Read /v1/agreement, and accept that version.',
  },
  'number-taken': { status: 409, title: 'Number taken', detail: 'Name another number, or none.' },
  'media-not-allowed': {
    status: 403,
    title: 'Media not allowed',
    detail: 'The person may not reach the provider of this file any more: check the opt-in.',
  },
  'media-not-found': { status: 404, title: 'No such file', detail: 'Check the link; the file may have expired.' },
  'media-grant-expired': { status: 410, title: 'Grant expired', detail: 'Ask for a new grant over the stream.' },
  'media-range-refused': { status: 416, title: 'Range refused', detail: 'Ask for a range within the granted size.' },
  'media-origin-failed': {
    status: 502,
    title: 'Media origin failed',
    detail: 'The origin did not give a file of the granted size. Try again later, or ask the sender.',
  },
  'media-origin-timed-out': { status: 504, title: 'Media origin timed out', detail: 'Try again later.' },
  busy: { status: 503, title: 'Busy', detail: 'Try again after retryAfterSeconds.' },
  'body-too-large': { status: 413, title: 'Body too large', detail: 'Send at most 512 KiB.' },
  'media-type-refused': { status: 415, title: 'Media type refused', detail: 'Send application/json.' },
  'budget-spent': { status: 429, title: 'Too many requests', detail: 'Try again after retryAfterSeconds.' },
  'proof-not-judged': {
    status: 503,
    title: 'Proof not judged',
    detail: "The provider's keys are not at hand. Nothing was changed. Try again after retryAfterSeconds.",
  },
  'storage-unavailable': {
    status: 503,
    title: 'Storage unavailable',
    detail: 'Nothing was changed. Try again after retryAfterSeconds.',
  },
  'internal-error': { status: 500, title: 'Internal error', detail: 'Try again later.' },
};

/** Answers a request that no route has seen, with advice to come again. */
export function writeProblem(response: ServerResponse, code: ProblemCode, retryAfterSeconds: number): void {
  const details = problemDetails(problems, code, { retryAfterSeconds });
  response
    .writeHead(details.status, {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'retry-after': String(retryAfterSeconds),
    })
    .end(JSON.stringify(details));
}
