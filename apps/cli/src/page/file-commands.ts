// Commands of a page that are about files, and about what may be seen once. Knows nothing of how their bytes come and go.
import { type Command, nameOf, withPerson } from './command-context.ts';
import type { CommandName } from './protocol.ts';
import { messageView, unsentView } from './views.ts';

type FileCommand = Extract<CommandName, `files.${string}` | 'chats.openOnce' | 'chats.closeOnce' | 'chats.played'>;

export const fileCommands: { readonly [N in FileCommand]: Command<N> } = {
  'files.offer': async ({ intake }, { chat, kind, name, ...file }) => ({
    path: intake.offer({
      to: withPerson(chat),
      file: { ...file, sourceName: name, ...(kind === 'known' ? {} : { kind }) },
    }),
  }),
  'files.unsent': async ({ client }) => client.files.unsent().map(unsentView),
  'files.pause': async ({ client }, { file }) => client.files.pauseUnsent(file),
  'files.resume': async ({ client }, { file }) => client.files.resumeUnsent(file),
  'files.drop': async ({ client, emit }, { file }) => {
    const dropped = client.files.unsent().find(({ id }) => id === file);
    await client.files.dropUnsent(file);
    if (dropped !== undefined) emit({ kind: 'file', file: unsentView(dropped), gone: true });
  },
  'files.check': async ({ media }, place) => media.check(place),
  'chats.openOnce': async ({ client, me, media }, message) => {
    const opened = await client.chats.openOnce(nameOf(message));
    media.hold(opened);
    return messageView(opened, me);
  },
  'chats.closeOnce': async ({ media }, message) => media.letGo(message),
  'chats.played': async ({ client }, message) => client.chats.markPlayed(nameOf(message)),
};
