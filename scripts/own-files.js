// The repository's own files: what git knows, and what is new beside it. What a person made in a clone (a gatekeeper's
// folder, an export) is theirs: it lies at the top under a name that git doesn't know, and no check looks at it.
import { execFileSync } from 'node:child_process';
import { root } from './node.js';

const list = args => {
  const text = execFileSync('git', ['ls-files', ...args], { cwd: root, encoding: 'utf8' });
  return text.split('\n').filter(file => file !== '');
};
const topOf = file => file.split('/', 1)[0];

/** Names at the top of the repository that hold files of its own. */
export function ownTops() {
  return [...new Set(list([]).map(topOf))];
}

/** Tracked files and new ones that are not ignored, of these patterns (all without any). */
export function ownFiles(...patterns) {
  const tops = new Set(ownTops());
  return list(['-co', '--exclude-standard', '--', ...patterns]).filter(file => tops.has(topOf(file)));
}
