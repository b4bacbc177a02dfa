import { type Token, tokenize } from "./lexer.ts";
import { TemplateError } from "./meter.ts";

/** The tokens of a template, one after the other. */
export class Tokens {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(template: string) {
    this.#tokens = tokenize(template);
  }

  /** The token that is read next. */
  get current(): Token {
    return this.#tokens[this.#next]!;
  }

  /** The one after it. */
  get following(): Token {
    return this.#tokens[this.#next + 1] ?? this.current;
  }

  /** Reads a token. */
  next(): Token {
    const token = this.current;
    if (token.type !== "end") this.#next++;
    return token;
  }

  /** Whether the next token is of a type. */
  is(type: string): boolean {
    return this.current.type === type;
  }

  /** Whether it is a word of the language. */
  isWord(...words: string[]): boolean {
    return this.current.type === "name" && words.includes(this.current.value);
  }

  /** Reads a token of this type if it comes next. */
  skip(type: string): boolean {
    const found = this.is(type);
    if (found) this.next();
    return found;
  }

  /** Reads this word if it comes next. */
  skipWord(word: string): boolean {
    const found = this.isWord(word);
    if (found) this.next();
    return found;
  }

  /** Reads a token that has to be there. */
  expect(type: string): Token {
    if (!this.is(type)) this.fail(`unexpected ${described(this.current)}; expected ${type}`);
    return this.next();
  }

  /** Reads a word that has to be there. */
  expectWord(word: string): void {
    if (!this.skipWord(word)) this.fail(`unexpected ${described(this.current)}; expected ${word}`);
  }

  /** Throws, naming the line of the next token. */
  unexpected(): never {
    return this.fail(`unexpected ${described(this.current)}`);
  }

  /** Throws, naming a line. */
  fail(message: string, line: number = this.current.line): never {
    throw new TemplateError(message, line);
  }
}

function described({ type, value }: Token): string {
  if (type === "end") return "end of the template";
  return type === "name" ? JSON.stringify(value) : type;
}
