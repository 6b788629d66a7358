// The terminal of a chat: lines that are typed, in order, and lines that appear above the one being typed, wrapped between
// words. Knows nothing of messages.
import { createInterface, type Interface } from 'node:readline';
import { paint } from './paint.ts';
import { columnsOf, wrap } from './wrap.ts';

export class Screen {
  readonly #terminal: Interface;
  /** Lines typed and not yet obeyed; readline forgets those that nobody waits for. */
  readonly #typed: string[] = [];
  #wake = (): void => {};
  #ended = false;

  constructor() {
    const terminal = createInterface({
      input: process.stdin,
      output: process.stdout,
      prompt: paint('prompt', '> '),
      terminal: process.stdin.isTTY,
    });
    terminal.on('line', line => {
      this.#typed.push(line.trim());
      this.#wake();
    });
    terminal.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    terminal.on('SIGINT', () => terminal.close());
    this.#terminal = terminal;
  }

  /** Whether a person sits there, rather than a file or a program. */
  get interactive(): boolean {
    return process.stdin.isTTY;
  }

  /** Prints above the line that is being typed. Lines that go on are indented by `hanging` columns, or like the first. */
  say(text: string, hanging?: number): void {
    const { isTTY, columns } = process.stdout;
    if (isTTY) process.stdout.write('\r\u001b[K');
    // A pipe gets whole lines; a terminal that doesn't say its width wraps by itself.
    process.stdout.write(`${isTTY && columns > 0 ? wrap(text, columns, hanging) : text}\n`);
    this.#prompt();
  }

  /** Prints what is copied to another device: in one piece, however long. */
  sayWhole(text: string): void {
    if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
    process.stdout.write(`${text}\n`);
    this.#prompt();
  }

  /** Prints lines as they are, on a terminal that is wide enough for them; false: it is not. */
  sayDrawing(lines: readonly string[]): boolean {
    const { isTTY, columns } = process.stdout;
    if (!isTTY || columns < Math.max(...lines.map(columnsOf))) return false;
    this.sayWhole(lines.join('\n'));
    return true;
  }

  /** The next line that was typed; undefined when there are no more. */
  async nextLine(): Promise<string | undefined> {
    for (;;) {
      const line = this.#typed.shift();
      if (line !== undefined || this.#ended) return line;
      this.#prompt();
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }

  /** No more prompts and lines from now on. */
  close(): void {
    if (process.stdout.isTTY && !this.#ended) process.stdout.write('\r\u001b[K');
    this.#ended = true;
    this.#terminal.close();
  }

  #prompt(): void {
    if (this.interactive && !this.#ended) this.#terminal.prompt(true);
  }
}
