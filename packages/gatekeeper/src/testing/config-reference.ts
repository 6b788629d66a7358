// The configuration reference, made from the schema: run it to print it.
// docs/operations/configuration.md holds the same text; a test compares them.
import { configSchema } from '../config-schema.ts';

type Schema = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema | readonly Schema[];
  readonly anyOf?: readonly Schema[];
};

function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' or ');
  if (schema.type === 'array') {
    const { items } = schema;
    return Array.isArray(items) ? 'list of pairs' : `list of ${typeOf((items ?? {}) as Schema)}`;
  }
  const range =
    schema.minimum === undefined ? '' : `, ${schema.minimum} to ${schema.maximum?.toLocaleString('en-US') ?? 'any'}`;
  return `${schema.type ?? 'any'}${range}`;
}

function rowsOf(schema: Schema, path: string, required: boolean, rows: string[]): void {
  if (schema.properties !== undefined) {
    if (path !== '' && schema.description !== undefined) rows.push(`| **\`${path}\`** | | | ${schema.description} |`);
    for (const [name, member] of Object.entries(schema.properties)) {
      const needed = schema.required?.includes(name) === true && member.default === undefined;
      rowsOf(member, path === '' ? name : `${path}.${name}`, needed, rows);
    }
    return;
  }
  const objects = schema.anyOf?.filter(branch => branch.properties !== undefined) ?? [];
  if (objects.length > 0) {
    rows.push(`| **\`${path}\`** | | \`${JSON.stringify(schema.default)}\` | ${schema.description ?? ''} |`);
    for (const branch of objects) {
      const kind = String(branch.properties?.['kind']?.const);
      for (const [name, member] of Object.entries(branch.properties ?? {})) {
        const needed = branch.required?.includes(name) === true && member.default === undefined;
        rowsOf(member, `${path}(${kind}).${name}`, needed, rows);
      }
    }
    return;
  }
  const items = schema.items as Schema | undefined;
  const unset = required ? 'needed' : 'none';
  const preset = schema.default === undefined ? unset : `\`${JSON.stringify(schema.default)}\``;
  const type = items?.properties === undefined ? typeOf(schema) : 'list of objects';
  rows.push(`| \`${path}\` | ${type.replaceAll('|', '\\|')} | ${preset} | ${schema.description ?? ''} |`);
  if (items?.properties !== undefined) {
    for (const [name, member] of Object.entries(items.properties)) {
      const needed = items.required?.includes(name) === true && member.default === undefined;
      rowsOf(member, `${path}[].${name}`, needed, rows);
    }
  }
}

/** The table of all keys, in Markdown. */
export function configurationReference(): string {
  const rows: string[] = [];
  rowsOf(configSchema, '', true, rows);
  return ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

if (import.meta.main) console.log(configurationReference());
