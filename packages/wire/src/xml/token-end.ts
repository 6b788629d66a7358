// Where a token of XML ends, when its bytes arrive in pieces: each byte is looked at once while the rest is awaited.
// Knows nothing of what the token says.
// Source: RFC 6120 section 11.1, XML 1.0 (fifth edition) sections 2.7, 2.8 and 3.1.

import { incomplete } from './refusal.ts';
import { closingBracket, doubleQuote, exclamation, greaterThan, question, singleQuote } from './scan.ts';

const noToken = 0;
const afterLessThan = 1;
const insideTag = 2;
const insideSingleQuotes = 3;
const insideDoubleQuotes = 4;
const afterExclamation = 5;
const insideCdata = 6;
const insideDeclaration = 7;
const insideText = 8;

export const cdataStart = '<![CDATA[';

export class TokenEnd {
  private state = noToken;
  /** How much of a token's closing or opening mark has been matched. */
  private matched = 0;

  /** A token has begun, and its end has not been seen. */
  get isAwaited(): boolean {
    return this.state !== noToken;
  }

  /** What is awaited is the `<` behind a run of text. */
  get isText(): boolean {
    return this.state === insideText;
  }

  /** A token has begun; its first byte has been seen. */
  begin(isText: boolean): void {
    this.state = isText ? insideText : afterLessThan;
  }

  forget(): void {
    this.state = noToken;
  }

  /**
   * The index behind the token's end (of text: of the `<` that ends it), or `incomplete` with the state kept.
   * `mayDeclare`: an XML declaration may stand here; elsewhere `<?` is judged at once.
   */
  find(text: string, from: number, mayDeclare: boolean): number {
    const length = text.length;
    let i = from;
    while (i < length) {
      switch (this.state) {
        case insideText: {
          const end = text.indexOf('<', i);
          return end === -1 ? incomplete : end;
        }
        case afterLessThan: {
          const c = text.charCodeAt(i);
          if (c === exclamation) {
            this.state = afterExclamation;
            this.matched = 2;
            i++;
          } else if (c === question) {
            if (!mayDeclare) return i + 1;
            this.state = insideDeclaration;
            this.matched = 0;
            i++;
          } else this.state = insideTag;
          break;
        }
        case insideTag: {
          const c = text.charCodeAt(i++);
          if (c === greaterThan) return i;
          if (c === singleQuote) this.state = insideSingleQuotes;
          else if (c === doubleQuote) this.state = insideDoubleQuotes;
          break;
        }
        case insideSingleQuotes:
        case insideDoubleQuotes: {
          const end = text.indexOf(this.state === insideSingleQuotes ? "'" : '"', i);
          if (end === -1) return incomplete;
          this.state = insideTag;
          i = end + 1;
          break;
        }
        case afterExclamation:
          if (text.charCodeAt(i++) !== cdataStart.charCodeAt(this.matched)) return i;
          if (++this.matched === cdataStart.length) {
            this.state = insideCdata;
            this.matched = 0;
          }
          break;
        case insideCdata: {
          if (this.matched === 0) {
            const bracket = text.indexOf(']', i);
            if (bracket === -1) return incomplete;
            i = bracket;
          }
          const c = text.charCodeAt(i++);
          if (c === closingBracket) this.matched = Math.min(this.matched + 1, 2);
          else if (c === greaterThan && this.matched === 2) return i;
          else this.matched = 0;
          break;
        }
        default: {
          const c = text.charCodeAt(i++);
          if (c === greaterThan && this.matched === 1) return i;
          this.matched = c === question ? 1 : 0;
        }
      }
    }
    return incomplete;
  }
}
