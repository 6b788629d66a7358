// Commands that send and save files. Knows nothing of how they are encrypted.
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { type FileProgress, shownLine } from '@drawbridge/client';
import type { ChatCommand } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { wholeNumberIn } from './numbers.ts';

const progressEveryMs = 2_000;
/** As many as one message may have (chapter 9.3). */
const maxFiles = 32;

/** The path that a line begins with, in double quotes when it holds spaces, and what follows it. */
function firstPath(line: string): [path: string, rest: string] {
  const match = /^(?:"([^"]+)"|(\S+))\s*(.*)$/.exec(line);
  return [match?.[1] ?? match?.[2] ?? '', match?.[3] ?? ''];
}

/** Says now and then how far a transfer is that takes a while. */
function progress(chat: Conversation, doing: string): (progress: FileProgress) => void {
  let toldAtMs = performance.now();
  return ({ bytes, totalBytes }) => {
    if (performance.now() - toldAtMs < progressEveryMs || bytes === totalBytes) return;
    toldAtMs = performance.now();
    chat.say(`  (${doing}: ${Math.floor((bytes / totalBytes) * 100)} %)`);
  };
}

function sends(name: `/${string}`, kind: 'file' | 'image' | 'video' | 'voice', does: string): ChatCommand {
  const run = async (chat: Conversation, rest: string): Promise<void> => {
    const [path, caption] = firstPath(rest);
    if (path === '') return chat.say(`${name} PATH [CAPTION]`);
    const peer = chat.needPeer();
    if (peer === undefined) return;
    const onProgress = progress(chat, 'sending');
    const message = await chat.client.files.send(peer, { path, caption, kind, onProgress });
    chat.lastOwn = message.id;
    const [sent] = message.body?.kind === 'attachment' ? message.body.attachments : [];
    const unseen =
      kind === 'video' && sent?.thumbnail === undefined ? '; without a preview: there is no ffmpeg here' : '';
    chat.say(`  (encrypted and uploaded: ${shownLine(basename(path))}${unseen})`);
  };
  return { name, takes: 'PATH [CAPTION]', does, run };
}

async function save(chat: Conversation, rest: string): Promise<void> {
  const [, number = '1', words = ''] = /^(?:([0-9]+)\s+)?(.*)$/.exec(rest) ?? [];
  const [path, more] = firstPath(words);
  const which = wholeNumberIn(number, 1, maxFiles);
  if (path === '' || more !== '' || which === undefined) return chat.say('/save [N] PATH: the Nth of their last files');
  if (chat.lastFiles === undefined) return chat.say('there is no file yet');
  // A slip of the hand must not cost a file.
  if (existsSync(path)) return chat.say('there is something at that path already: choose another');
  await chat.client.files.save(chat.lastFiles, which - 1, path, { onProgress: progress(chat, 'fetching') });
  chat.say(`  (saved: ${shownLine(path)})`);
}

export const fileCommands: readonly ChatCommand[] = [
  sends('/photo', 'image', 'send a picture without what it says of its maker, place and time. "…" holds spaces'),
  sends('/video', 'video', 'send a video, likewise'),
  sends('/voice', 'voice', 'send a voice message, likewise'),
  sends('/file', 'file', 'send a file byte for byte, with all that it says'),
  { name: '/save', takes: '[N] PATH', does: 'write the last file that they sent (its Nth) to PATH', run: save },
];
