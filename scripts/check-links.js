// Checks that what the documents point at exists: relative links (file and heading) and paths in backquotes.
// Knows nothing of other sites: links with a scheme are left alone. Exit 1 when something is missing.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { root } from './node.js';
import { ownFiles } from './own-files.js';

const problems = [];
const files = ownFiles('*.md').filter(file => existsSync(join(root, file)));

/** Headings as GitHub names them: lower case, punctuation dropped, spaces as hyphens, repeats numbered. */
function anchorsOf(text) {
  const seen = new Map();
  const anchors = new Set();
  for (const [, heading] of withoutCode(text).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const name = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(name) ?? 0;
    seen.set(name, times + 1);
    anchors.add(times === 0 ? name : `${name}-${times}`);
  }
  return anchors;
}

/** Fenced blocks blanked, lines kept. */
function withoutCode(text) {
  return text.replace(/^( *)(```+|~~~+)[^\n]*\n[\s\S]*?^\1\2[^\n]*$/gm, block => block.replace(/[^\n]/g, ''));
}

function lineOf(text, index) {
  return text.slice(0, index).split('\n').length;
}

// Only what looks like a file of this repository: begins with one of its folders, or is a document at the root.
const repositoryPath =
  /^(?:(?:packages|apps|docs|examples|harness|bench|schema|vectors|scripts|LICENSES|\.ci)\/[A-Za-z0-9._/-]*|[A-Z][A-Z]+(?:\.md)?)$/;

for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8');
  const prose = withoutCode(text);
  const complain = (index, target, why) => problems.push(`${file}:${lineOf(prose, index)}: ${target} ${why}`);

  const inline = [...prose.matchAll(/!?\[[^\]]*\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)];
  const defined = [...prose.matchAll(/^\[[^\]]+\]: +<?(\S+?)>?$/gm)];
  const html = [...prose.matchAll(/<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)="([^"]+)"/g)];
  for (const match of [...inline, ...defined, ...html]) {
    const link = match[1];
    if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
    const [path, anchor] = link.split('#', 2);
    const target = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)));
    if (relative(root, join(root, target)).startsWith('..')) complain(match.index, link, 'leaves the repository');
    else if (!existsSync(join(root, target))) complain(match.index, link, 'does not exist');
    else if (anchor !== undefined && target.endsWith('.md')) {
      const anchors = anchorsOf(readFileSync(join(root, target), 'utf8'));
      if (!anchors.has(anchor)) complain(match.index, link, 'names a heading that does not exist');
    } else if (anchor !== undefined && statSync(join(root, target)).isDirectory()) {
      complain(match.index, link, 'names a heading of a folder');
    }
  }

  for (const match of prose.matchAll(/`([^`\n]+)`/g)) {
    const path = match[1];
    if (repositoryPath.test(path) && path.includes('/') && !existsSync(join(root, path))) {
      complain(match.index, path, 'does not exist');
    }
  }
}

for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? `links hold in ${files.length} documents` : `${problems.length} dead links`);
process.exit(problems.length === 0 ? 0 : 1);
