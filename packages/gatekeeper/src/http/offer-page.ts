// The reference offer as a page that people read: the same members, in the same order, and the agreement in full. No script,
// nothing from elsewhere. Knows nothing of how the offer is made.
import { createHash } from 'node:crypto';
import { clausesIn } from '../providers/agreement.ts';
import type { ShownAgreement } from '../providers/lifecycle.ts';
import type { ReferenceOffer } from './reference-offer.ts';

const style = `body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #8888;padding:.3rem .6rem;text-align:left;vertical-align:top}
td{overflow-wrap:anywhere}th{width:16rem;font-weight:600}mark{padding:0 .2rem}`;

/** The page has this style and nothing else. */
export const pageCsp = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; frame-ancestors 'none'`;

const sections: readonly (readonly [string, readonly (keyof ReferenceOffer)[]])[] = [
  ['Who and where', ['issuer', 'domain', 'contact', 'terms', 'endpoints', 'transports', 'relays', 'documents']],
  ['What it does', ['functions', 'suites', 'possession', 'identityRenewal', 'security', 'compactKeys', 'jwksUri']],
  ['Limits and rates', ['limits', 'rates']],
  ['What is kept, and for how long', ['kept']],
  ['Providers', ['applications', 'providers']],
];

export function offerPage(offer: ReferenceOffer, agreement: ShownAgreement): string {
  const shown = new Set<string>(sections.flatMap(([, members]) => members));
  const rest = Object.keys(offer).filter(name => !shown.has(name)) as (keyof ReferenceOffer)[];
  const body = [...sections, ['More', rest] as const].map(([title, members]) => {
    const rows = members.flatMap(name => (offer[name] === undefined ? [] : [row(name, offer[name])]));
    return rows.length === 0 ? '' : `<h2>${text(title)}</h2><table>${rows.join('')}</table>`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Reference offer of ${text(offer.domain)}</title><style>${style}</style>
<h1>Reference offer of ${text(offer.domain)}</h1>
<p>Version ${offer.version}. Made from the configuration in force; the same for machines:
<code>/.well-known/interop-gatekeeper</code>.</p>${body.join('')}${agreementPart(agreement)}</html>
`;
}

function agreementPart({ version, sinceMs, digest, text: kept, before }: ShownAgreement): string {
  const changed = new Set([...(before?.added ?? []), ...(before?.changed ?? [])]);
  const clauses = clausesIn(kept).map(clause => {
    const words = text(clause.text);
    return `<tr><th>${text(clause.id)}<td>${changed.has(clause.id) ? `<mark>changed</mark> ${words}` : words}`;
  });
  const removed = (before?.removed ?? []).map(id => `<tr><th>${text(id)}<td><mark>removed</mark>`);
  return `<h2>Agreement, version ${version}</h2><p>Since ${new Date(sinceMs).toISOString()}, digest <code>${text(digest)}</code>.</p>
<table>${[...clauses, ...removed].join('')}</table>`;
}

function row(name: string, value: unknown): string {
  return `<tr><th>${text(name)}<td>${cell(value)}`;
}

function cell(value: unknown): string {
  if (Array.isArray(value)) {
    return value.every(each => typeof each !== 'object')
      ? text(value.length === 0 ? 'none' : value.join(', '))
      : `<table>${value.map((each: object) => `<tr><td>${Object.values(each).map(cell).join('<td>')}`).join('')}</table>`;
  }
  if (typeof value !== 'object' || value === null) return text(String(value));
  return `<table>${Object.entries(value)
    .map(([name, member]) => row(name, member))
    .join('')}</table>`;
}

function text(words: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return words.replaceAll(/[&<>"]/g, each => entities[each]!);
}
