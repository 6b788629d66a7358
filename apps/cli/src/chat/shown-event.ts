// What happens while one chats, as a line of text, or none when a person need not know.
// Knows nothing of the terminal.
import { type ClientEvent, clientErrors } from '@drawbridge/client';
import { harmless } from './harmless.ts';
import { shown } from './shown-message.ts';

export function eventLine(event: ClientEvent, me: string | undefined): string | undefined {
  switch (event.kind) {
    case 'status':
      return event.status.kind === 'online' ? undefined : `(${event.status.kind})`;
    case 'message': {
      const { message, change } = event;
      if (message.author === me && change === 'state') {
        if (message.state === 'delivered' || message.state === 'read' || message.state === 'played')
          return `  (${message.state}: ${harmless(message.text).slice(0, 40)})`;
        if (message.state === 'failed')
          return `  (not sent, ${message.failure?.code ?? 'unknown'}: ${harmless(message.text).slice(0, 40)})`;
        if (message.state === 'held') return '  (held: their key has changed. Compare /safety, then /accept)';
      }
      if (message.author !== me && change === 'content') return `  (changed) ${shown(message)}`;
      if (message.author === me && change === 'content' && message.reactions !== undefined)
        return `  ${shown(message)}`;
      if (message.author === me && change === 'content' && message.kind === 'poll') return `  ${shown(message)}`;
      return undefined;
    }
    case 'file': {
      const { name, state, failure } = event.file;
      if (state === 'sent') return `  (encrypted and uploaded: ${harmless(name)})`;
      if (failure === undefined) return undefined;
      return `  (not sent: ${harmless(name)}: ${clientErrors[failure.code].text})`;
    }
    case 'typing':
      return event.state === 'started' ? '  (is writing …)' : undefined;
    case 'expiry-timer':
      return event.seconds === 0
        ? '  (messages stay from now on)'
        : `  (messages vanish ${event.seconds} s after they were read)`;
    case 'profile':
      return event.interopId === me ? undefined : `  (calls themselves “${harmless(event.profile.displayName)}”)`;
    case 'history-asked':
      return `  (your device ${event.deviceId} asks for the history; it was not linked with it)`;
    case 'history':
      return `  (history ${event.direction}: ${event.finished ? 'done' : `${event.done} of ${event.total}`})`;
    case 'identity':
      return `  (${event.identity.kind})`;
    case 'problem':
      return `  (${event.error.message})`;
    default:
      return undefined;
  }
}
