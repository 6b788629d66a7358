// Makes the chat page's script and style from apps/web: for a checkout that runs from its sources, and for `npm run build`.
// Knows nothing of who serves them.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { build } from 'esbuild';

/**
 * @param {string} folder apps/web/src
 * @returns {Promise<{ script: Buffer, style: Buffer }>}
 */
export async function bundlePage(folder) {
  const made = await build({
    entryPoints: { page: join(folder, 'main.tsx') },
    outdir: join(folder, 'made'),
    bundle: true,
    write: false,
    format: 'esm',
    target: ['es2023', 'chrome120', 'firefox121', 'safari17'],
    minify: true,
    legalComments: 'none',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    conditions: ['drawbridge-source'],
    logLevel: 'silent',
  });
  const bytesOf = extension => Buffer.from(made.outputFiles.find(({ path }) => path.endsWith(extension)).contents);
  return { script: bytesOf('.js'), style: bytesOf('.css') };
}
