// `npm run build`: JavaScript, declarations and source maps of every published package, in its dist folder.
// From nothing each time: a file that was removed from src must not stay in a tarball.
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundlePage } from './bundle-page.js';
import { root, run } from './node.js';

for (const left of globSync(['packages/*/dist', 'apps/*/dist', '{packages,apps}/*/*.tsbuildinfo'], { cwd: root })) {
  rmSync(join(root, left), { recursive: true });
}
const status = await run('tsc', ['-b', 'tsconfig.build.json']);
if (status !== 0) process.exit(status);
// The page's script and style lie beside what serves them.
const page = await bundlePage(join(root, 'apps/web/src'));
mkdirSync(join(root, 'apps/cli/dist/page/made'), { recursive: true });
writeFileSync(join(root, 'apps/cli/dist/page/made/page.js'), page.script);
writeFileSync(join(root, 'apps/cli/dist/page/made/page.css'), page.style);
// The compiler rewrites `./x.ts` to `./x.js` in JavaScript, and leaves it in declarations.
const declarations = globSync('{packages,apps}/*/dist/**/*.d.ts', { cwd: root });
for (const name of declarations) {
  const file = join(root, name);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(/((?:\bfrom |\bimport\()['"]\.\.?\/[^'"]+)\.ts(['"])/g, '$1.js$2'));
}
console.log(`built ${declarations.length} modules`);
