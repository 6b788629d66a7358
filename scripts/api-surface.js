// The public surface of every published package, as text: the declarations that its `exports` reach, without comments and
// without names that nothing public mentions. Read from dist, so `npm run build` comes first. Knows no TypeScript beyond
// the form in which the compiler writes declarations: a statement begins at the start of a line.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './node.js';

export const published = [...globSync('packages/*', { cwd: root }).toSorted((a, b) => (a < b ? -1 : 1)), 'apps/cli'];

/** Statements of a declaration file: `{ text, docs, names, from, isExported }`. */
function statementsOf(text) {
  const statements = [];
  let lines = [];
  let docs = '';
  let comment = [];
  let inComment = false;
  const end = () => {
    if (lines.length > 0) statements.push(statementOf(lines.join('\n'), docs));
    lines = [];
  };
  for (const line of text.split('\n')) {
    if (line.startsWith('/**')) {
      comment = [];
      inComment = true;
    }
    if (inComment) {
      comment.push(line);
      if (line.includes('*/')) inComment = false;
    } else if (/^(export|import|declare|type|interface|class|function|const) /.test(line)) {
      end();
      docs = comment.join('\n');
      comment = [];
      lines = [line];
    } else if (line !== '' && !line.startsWith('//')) {
      // A member of a union, behind its comment.
      lines.push(...comment, line);
      comment = [];
    }
  }
  end();
  return statements;
}

function statementOf(text, docs) {
  const list = /^(?:import|export) (?:type )?(?:\* as (\w+) |\{([^}]*)\} ?)?(?:from )?(?:['"]([^'"]+)['"])?/.exec(text);
  const isImport = text.startsWith('import ');
  const isList = /^export (?:type )?\{/.test(text);
  if (isImport || isList) {
    const names = (list?.[2] ?? '')
      .split(',')
      .map(each => each.trim().replace(/^type /, ''))
      .filter(Boolean);
    const pairs = names.map(each => each.split(' as ')).map(([of, as]) => ({ of, as: as ?? of }));
    return { kind: isImport ? 'import' : 'list', text, docs, pairs, from: list?.[3] };
  }
  const name = /^(?:export )?(?:declare )?(?:abstract )?(?:const|let|function|class|type|interface|enum) (\w+)/.exec(
    text,
  )?.[1];
  return { kind: 'declaration', text, docs, name, isExported: text.startsWith('export ') };
}

/** Comments within a declaration go, what they stand beside stays. */
function withoutComments(text) {
  return text
    .replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, '')
    .replace(/^\s*\/\/.*\n/gm, '')
    .replace(/^(export )?(declare )?/, '');
}

class Surface {
  #files = new Map();
  /** `file name` of what is public, in the order in which it was reached. */
  #reached = new Map();

  #statements(file) {
    if (!this.#files.has(file)) this.#files.set(file, statementsOf(readFileSync(file, 'utf8')));
    return this.#files.get(file);
  }

  /** Names that a file exports. */
  exportsOf(file) {
    return this.#statements(file).flatMap(each => {
      if (each.kind === 'list') return each.pairs.map(pair => pair.as);
      return each.kind === 'declaration' && each.isExported ? [each.name] : [];
    });
  }

  /** Takes in a name of a file and all that its declaration mentions within the package. */
  reach(file, name) {
    const key = `${file} ${name}`;
    if (this.#reached.has(key)) return;
    for (const each of this.#statements(file)) {
      if (each.kind !== 'declaration') {
        const pair = each.pairs.find(({ as }) => as === name);
        const target =
          each.from?.startsWith('.') === true ? join(dirname(file), each.from.replace(/\.js$/, '.d.ts')) : undefined;
        if (pair !== undefined && target !== undefined && existsSync(target)) this.reach(target, pair.of);
        continue;
      }
      if (each.name !== name) continue;
      const text = withoutComments(each.text);
      const before = this.#reached.get(key);
      this.#reached.set(
        key,
        before === undefined ? { ...each, text, full: each.text } : { ...before, text: `${before.text}\n${text}` },
      );
      const mentioned = new Set(text.replace(/'[^'\n]*'|"[^"\n]*"/g, '').match(/[A-Za-z_$][\w$]*/g) ?? []);
      for (const other of mentioned) if (other !== name) this.reach(file, other);
    }
  }

  declarations() {
    return [...this.#reached.values()].filter(each => each.name !== undefined);
  }
}

/** `[{ subpath, names }]` and all declarations behind them. */
export function surfaceOf(folder) {
  const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
  const surface = new Surface();
  const entries = [];
  for (const [subpath, target] of Object.entries(manifest.exports ?? {})) {
    if (target.default === undefined) continue;
    const file = join(root, folder, target.default.replace(/\.js$/, '.d.ts'));
    const names = surface.exportsOf(file).toSorted();
    for (const name of names) surface.reach(file, name);
    entries.push({ subpath, names });
  }
  const orderOf = ({ name, text }) => `${name} ${text}`;
  const declarations = surface.declarations().toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
  return { name: manifest.name, bin: manifest.bin, entries, declarations };
}
