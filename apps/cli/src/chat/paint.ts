// Colours of the chat: names, remarks and warnings. None where the terminal has none, or NO_COLOR is set.
// Knows nothing of what is said.
import { styleText } from 'node:util';

export type Look = 'name' | 'remark' | 'warning' | 'prompt';

const formats = { name: ['bold', 'cyan'], remark: 'dim', warning: 'yellow', prompt: 'green' } as const;

export function paint(look: Look, text: string): string {
  return styleText([formats[look]].flat(), text, { stream: process.stdout, validateStream: true });
}
