// The files of the page: made from their sources in a checkout, read from `dist` in a package. Knows nothing of what is in
// them, and serves nothing that is not listed here.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type Asset = { readonly type: string; readonly body: Buffer };

const script = 'page.js';
const style = 'page.css';

/** No word of it depends on who asks; script and style are files, so that the policy can forbid all others. */
const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">
<meta name="color-scheme" content="light dark">
<title>Drawbridge</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/${style}">
<script type="module" src="/${script}"></script>
</head>
<body><div id="page"></div><noscript>This page needs JavaScript, all of which comes from your own machine.</noscript></body>
</html>
`;

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#0f766e" d="M3 12h4V7h3v5h12V7h3v5h4v15h-8v-3a5 5 0 0 0-10 0v3H3z"/></svg>`;

export async function loadPageAssets(): Promise<ReadonlyMap<string, Asset>> {
  const made = await madeFiles();
  return new Map<string, Asset>([
    ['/', { type: 'text/html; charset=utf-8', body: Buffer.from(html) }],
    ['/icon.svg', { type: 'image/svg+xml', body: Buffer.from(icon) }],
    [`/${script}`, { type: 'text/javascript; charset=utf-8', body: made.script }],
    [`/${style}`, { type: 'text/css; charset=utf-8', body: made.style }],
  ]);
}

type Made = { readonly script: Buffer; readonly style: Buffer };

/** A checkout has sources, and what makes files of them; a package has the files. */
async function madeFiles(): Promise<Made> {
  if (!import.meta.filename.endsWith('.ts')) {
    const read = (name: string): Buffer => readFileSync(new URL(`./made/${name}`, import.meta.url));
    return { script: read(script), style: read(style) };
  }
  // A tool of the repository, which no package has.
  const maker = new URL('../../../../scripts/bundle-page.js', import.meta.url).href;
  const { bundlePage } = (await import(maker)) as { readonly bundlePage: (folder: string) => Promise<Made> };
  return bundlePage(fileURLToPath(new URL('../../../web/src/', import.meta.url)));
}
