// What happens while one chats, as a remark or a warning in words, or nothing when a person need not know.
// Knows nothing of the terminal.
import {
  type ClientEvent,
  type DevicesChange,
  type ConnectionStatus,
  clientErrors,
  type MessageRecord,
  shownLine,
} from '@drawbridge/client';
import { nameDoubts } from './name-doubts.ts';
import { clipped, shown } from './shown-message.ts';
import { spanWords } from './spans.ts';

export type Remark = { readonly look: 'remark' | 'warning'; readonly text: string };

const remark = (text: string): Remark => ({ look: 'remark', text: `  (${text})` });
const warning = (text: string): Remark => ({ look: 'warning', text: `  (${text})` });

export type Told = {
  /** The InteropId of the person at the terminal. */
  readonly me: string | undefined;
  /** What to call somebody else. */
  readonly nameOf: (interopId: string) => Promise<string>;
  /** What is odd about that name, as the end of a sentence; empty: nothing. */
  readonly doubtsAbout: (interopId: string) => Promise<string>;
};

export async function remarkOn(event: ClientEvent, { me, nameOf, doubtsAbout }: Told): Promise<Remark | undefined> {
  switch (event.kind) {
    case 'message':
      return event.message.author === me ? ownMessage(event.message, event.change) : theirMessage(event);
    case 'file': {
      const { name, state, failure } = event.file;
      if (state === 'sent') return remark(`encrypted and uploaded: ${shownLine(name)}`);
      if (failure === undefined) return undefined;
      return warning(`not sent: ${shownLine(name)}: ${clientErrors[failure.code].text}`);
    }
    case 'typing':
      return event.state === 'started' ? remark(`${await nameOf(event.from)} is writing …`) : undefined;
    case 'contact':
      // What the gatekeeper claims is a line of the chat.
      if (event.state !== 'request' || event.claimed !== undefined) return undefined;
      return warning(
        `${await nameOf(event.interopId)} writes to you for the first time: to answer is to accept; /requests for more`,
      );
    case 'provider-block': {
      if (event.isDoubted === true) return undefined;
      const whose = `provider ${event.provider}`;
      return remark(event.isBlocked ? `all people of ${whose} are blocked` : `${whose} is not blocked any more`);
    }
    case 'expiry-timer': {
      const name = event.from === me ? 'you' : await nameOf(event.from);
      const rule =
        event.seconds === 0 ? 'messages stay' : `messages vanish ${spanWords(event.seconds)} after they were read`;
      const lost =
        event.lost === undefined ? '' : `; your own ${spanWords(event.lost)}, set at the same time, don’t hold`;
      return remark(`from now on ${rule}: set by ${name}${lost}`);
    }
    case 'profile':
      if (event.interopId === me) return undefined;
      return remark(
        `${await nameOf(event.interopId)} goes by the name “${shownLine(event.profile.displayName)}”; nobody has checked it${nameDoubts(event.profile.displayName, [])}`,
      );
    case 'history-asked':
      return warning(`your device ${event.deviceId} asks for the history; it was not linked with it`);
    case 'history': {
      const where = event.direction === 'sending' ? 'to' : 'from';
      const far = event.finished ? 'all of it' : `${event.done} of ${event.total}`;
      return remark(`history ${where} your device ${event.deviceId}: ${far}`);
    }
    case 'identity': {
      const { identity } = event;
      const name = await nameOf(identity.interopId);
      if (identity.kind === 'identity-first-seen') {
        const doubts = await doubtsAbout(identity.interopId);
        const text = `first contact with ${name}: compare /safety with them by another way, then /verify${doubts}`;
        return doubts === '' ? remark(text) : warning(text);
      }
      return identity.needsAcceptance
        ? warning(
            `the key of ${name} has changed after you verified it. Nothing is sent: compare /safety, then /accept`,
          )
        : warning(`the key of ${name} has changed: a new phone, or somebody else. /safety shows the number to compare`);
    }
    case 'devices':
      return warning(
        devicesWords(event.change, event.change.isOwn ? 'your' : `${await nameOf(event.change.interopId)}’s`),
      );
    case 'missing': {
      const name = await nameOf(event.chat);
      if (event.count === 0) return remark(`nothing is missing any more in the chat with ${name}`);
      const what = event.count === 1 ? '1 message has' : `${event.count} messages have`;
      return warning(`${what} not come in the chat with ${name}: withheld, or still under way. /dismiss forgets that`);
    }
    case 'problem':
      return warning(event.error.message);
    case 'missed':
      return remark(`${event.count} changes came too fast to be shown: /history has them`);
    case 'status':
    case 'chat':
      return undefined;
  }
}

function devicesWords(change: DevicesChange, whose: string): string {
  switch (change.kind) {
    case 'devices-changed': {
      const part = (ids: readonly number[], word: string): string[] =>
        ids.length === 0 ? [] : [`${word} ${ids.join(', ')}`];
      return `${whose} devices have changed (${[...part(change.added, 'new:'), ...part(change.removed, 'gone:')].join('; ')})`;
    }
    case 'unlisted-device':
      return `the gatekeeper names a device ${change.deviceId} as ${whose}, and nobody there signed for it: nothing is sent to it or read from it`;
    case 'left-out-device':
      return `the gatekeeper leaves out ${whose} device ${change.deviceId}: what is sent does not reach it`;
    case 'identity-renewed': {
      const again = change.linkAgain.length === 0 ? '' : `; link again, in new folders: ${change.linkAgain.join(', ')}`;
      return `your identity key is a fresh one: people who compared the old one are asked${again}`;
    }
    case 'earlier-identity':
      return 'this folder has an identity key from before you renewed it: stop here, and go on in the folder that renewed it. /notices says more';
    case 'manifest-warning':
      return `the list of ${whose} devices is not as it should be (${change.warning}): the last one that was seen holds`;
  }
}

function ownMessage(message: MessageRecord, change: string): Remark | undefined {
  const text = clipped(message.text, 40);
  if (change === 'content') {
    const changed = message.reactions !== undefined || message.kind === 'poll';
    return changed ? { look: 'remark', text: `  ${shown(message)}` } : undefined;
  }
  if (change !== 'state') return undefined;
  switch (message.state) {
    case 'delivered':
    case 'read':
    case 'played':
      return remark(`${message.state}: ${text}`);
    case 'failed': {
      const why = message.failure === undefined ? '' : ` ${clientErrors[message.failure.code].text}`;
      return warning(`not sent: ${text}.${why} /failed lists such messages`);
    }
    case 'held':
      return warning(
        'kept back: their key has changed (compare /safety, then /accept), or this device does not know them yet (/missing)',
      );
    default:
      return undefined;
  }
}

function theirMessage({ message, change }: Extract<ClientEvent, { kind: 'message' }>): Remark | undefined {
  return change === 'content' ? { look: 'remark', text: `  (changed) ${shown(message)}` } : undefined;
}

/** The connection in words, when it is lost or back. A person who writes meanwhile loses nothing. */
export class ConnectionWords {
  #lost = false;

  remarkOn(status: ConnectionStatus): Remark | undefined {
    switch (status.kind) {
      case 'online': {
        const back = this.#lost;
        this.#lost = false;
        return back ? remark('connected again') : undefined;
      }
      case 'waiting': {
        if (this.#lost) return undefined;
        this.#lost = true;
        const why = status.error.retry ? '' : ` ${status.error.message}`;
        return warning(`connection lost: what you write is kept, and sent when it is back.${why}`);
      }
      case 'stopped':
        return status.error === undefined ? undefined : warning(`disconnected. ${status.error.message}`);
      case 'idle':
      case 'connecting':
        return undefined;
    }
  }
}
