// Secrets that are typed at a terminal: the question stays, what is typed is never shown, Ctrl-C and Ctrl-D end in order.
// Knows nothing of what the secrets are for.
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { CommandError, exitCodes, usageError } from './command-error.ts';

export type SecretQuestion = {
  readonly question: string;
  /** The environment variable that answers it too. */
  readonly variable?: string;
};

/** Asks one after the other. What is typed ahead of a question is its answer. Rejects with `CommandError`. */
export async function askSecrets(questions: readonly SecretQuestion[]): Promise<string[]> {
  // Readline draws what is typed on its output: there is none. The question goes around it.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 });
  const lines = terminal[Symbol.asyncIterator]();
  let interrupted = false;
  terminal.on('SIGINT', () => {
    interrupted = true;
    terminal.close();
  });
  const answers: string[] = [];
  try {
    for (const { question, variable } of questions) {
      process.stderr.write(question);
      const { value, done } = await lines.next();
      process.stderr.write('\n');
      if (interrupted) throw new CommandError('stopped', '', exitCodes.interrupted);
      if (done === true || value === '') {
        throw usageError('nothing was typed', variable === undefined ? 'type it' : `type it, or set ${variable}`);
      }
      answers.push(value);
    }
    return answers;
  } finally {
    terminal.close();
  }
}

export async function askSecret(question: SecretQuestion): Promise<string> {
  const [answer = ''] = await askSecrets([question]);
  return answer;
}
