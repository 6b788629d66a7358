// Which exported names nothing uses: no other file imports them and their own doesn't speak of them either. Goes by names
// alone, so a name that stands for two things is taken as used. Index files are promises to others and count as use.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './node.js';
import { ownFiles } from './own-files.js';

/** As `{ file, name }`, of packages and apps. */
export function unusedExports() {
  const files = ownFiles('*.ts', '*.tsx', '*.js').filter(
    file => !file.includes('/gen/') && existsSync(join(root, file)),
  );
  const texts = new Map(files.map(file => [file, readFileSync(join(root, file), 'utf8')]));
  const imported = new Set();
  for (const text of texts.values()) {
    for (const [, names] of text.matchAll(/\b(?:import|export)\s+(?:type\s+)?\{([^}]*)\}\s*from\b/g)) {
      for (const each of names.split(','))
        imported.add(
          each
            .trim()
            .replace(/^type\s+/, '')
            .split(/\s+as\s+/)[0],
        );
    }
    for (const [, name] of text.matchAll(/await import\([^)]*\)\)\.(\w+)/g)) imported.add(name);
    for (const [, names] of text.matchAll(/\{([^{}]*)\}\s*=\s*await import\(/g)) {
      for (const each of names.split(',')) imported.add(each.trim().split(':')[0]);
    }
  }
  const unused = [];
  for (const [file, text] of texts) {
    if (!/^(packages|apps)\/[a-z0-9]+\/src\//.test(file) || file.endsWith('/index.ts')) continue;
    const declared = text.matchAll(/^export (?:async )?(?:const|function\*?|class|type|interface) ([A-Za-z0-9_$]+)/gm);
    for (const [, name] of declared) {
      const times =
        text.split(new RegExp(`(?<![A-Za-z0-9_$])${name.replaceAll('$', '\\$')}(?![A-Za-z0-9_$])`)).length - 1;
      if (!imported.has(name) && times === 1) unused.push({ file, name });
    }
  }
  return unused;
}
