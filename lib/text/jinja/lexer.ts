import { counted } from "../../errors.ts";
import { TemplateError } from "./meter.ts";
import { strip } from "./string-cuts.ts";
import { ofTemplate, SPACE } from "./strings.ts";

/** Operators have themselves as type, as have the marks of tags. */
export interface Token {
  type: string;
  /** A string's value, or the text. */
  value: string;
  line: number;
}

const RAW = new RegExp(`\\{%([-+]?)[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, "y");
const ENDRAW = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`, "g");
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${SPACE}]*|#\\}\\n?`, "g");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`, "y");
const VARIABLE_END = new RegExp(`-\\}\\}[${SPACE}]*|\\}\\}`, "y");
const SPACES = new RegExp(`[${SPACE}]+`, "y");
const ONLY_SPACES = new RegExp(`^[${SPACE}]+$`);

/** Longest template, and most tokens of one, so that to read it takes milliseconds. Chosen: five times those of the largest known. */
const MAX_LENGTH = 1 << 17;
const MAX_TOKENS = 6000;

/** Deepest nesting of brackets, as in Python. */
const MAX_BRACKETS = 200;

/** What stands in a tag, in the order in which it is tried. */
const TAG_TOKENS: [type: string, RegExp][] = [
  ["float", /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy],
  ["integer", /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ["name", /[\w\u0080-\uffff]+/y],
  ["string", /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy],
  ["operator", /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y],
];
const ASCII_NAME = /^[a-zA-Z_]\w*$/;
/** Takes milliseconds to compile: for other names only. */
const NAME = /^[\p{XIDS}_]\p{XIDC}*$/u;
const CLOSING: Record<string, string> = { "(": ")", "[": "]", "{": "}" };

/** Cuts a template into tokens, with white space stripped as `trim_blocks`, `lstrip_blocks` and the tags' own signs ask. */
export function tokenize(template: string): Token[] {
  return new Lexer(template).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #position = 0;
  #line = 1;
  /** Whether what was read last ended a line. */
  #lineStarts = true;

  constructor(template: string) {
    if (template.length > MAX_LENGTH)
      throw new TemplateError(`it has ${counted(template.length, "character")}; expected at most ${MAX_LENGTH}`);
    const source = template.replace(/\r\n?/g, "\n");
    // keep_trailing_newline is false.
    this.#source = source.endsWith("\n") ? source.slice(0, -1) : source;
  }

  run(): Token[] {
    while (this.#position < this.#source.length) this.#readData();
    this.#push("end", "");
    return this.#tokens;
  }

  /** Text up to the next tag, and the tag. */
  #readData(): void {
    const start = this.#nextTag();
    if (start === undefined) {
      this.#push("data", this.#source.slice(this.#position));
      this.#moveTo(this.#source.length);
      return;
    }
    const raw = this.#match(RAW, start);
    const mark = raw === undefined ? this.#source.slice(start, start + 2) : "raw";
    const sign = raw === undefined ? this.#source[start + 2]! : raw[1]!;
    this.#push("data", this.#stripped(this.#source.slice(this.#position, start), sign, mark !== "{{"));
    this.#moveTo(start);
    this.#moveTo(raw === undefined ? start + (sign === "-" || sign === "+" ? 3 : 2) : start + raw[0].length);
    if (mark === "raw") this.#readRaw();
    else if (mark === "{#") this.#readComment();
    else this.#readTag(mark);
  }

  #nextTag(): number | undefined {
    for (let i = this.#source.indexOf("{", this.#position); i >= 0; i = this.#source.indexOf("{", i + 1)) {
      if ("{%#".includes(this.#source[i + 1] ?? " ")) return i;
    }
    return undefined;
  }

  /** Text before a tag: "-" strips all white space, and a block that starts a line strips its indentation unless it has a "+". */
  #stripped(text: string, sign: string, isBlock: boolean): string {
    if (sign === "-") return strip(ofTemplate(text), undefined, false, true).text;
    if (sign === "+" || !isBlock) return text;
    const lineStart = text.lastIndexOf("\n") + 1;
    return (lineStart > 0 || this.#lineStarts) && ONLY_SPACES.test(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  }

  #readComment(): void {
    COMMENT_END.lastIndex = this.#position;
    if (COMMENT_END.exec(this.#source) === null) throw new TemplateError("a comment has no end", this.#line);
    this.#moveTo(COMMENT_END.lastIndex);
  }

  #readRaw(): void {
    ENDRAW.lastIndex = this.#position;
    const end = ENDRAW.exec(this.#source);
    if (end === null) throw new TemplateError("a raw block has no end", this.#line);
    this.#push("data", this.#stripped(this.#source.slice(this.#position, end.index), end[1]!, true));
    this.#moveTo(end.index + end[0].length);
  }

  #readTag(mark: string): void {
    const [end, endMark] = mark === "{%" ? [BLOCK_END, "%}"] : [VARIABLE_END, "}}"];
    const open: string[] = [];
    this.#push(mark, mark);
    for (;;) {
      const space = this.#match(SPACES, this.#position);
      if (space !== undefined) this.#moveTo(this.#position + space[0].length);
      const closing = open.length === 0 ? this.#match(end, this.#position) : undefined;
      if (closing !== undefined) {
        this.#push(endMark, endMark);
        this.#moveTo(this.#position + closing[0].length);
        return;
      }
      this.#readTagToken(open);
    }
  }

  #readTagToken(open: string[]): void {
    for (const [type, pattern] of TAG_TOKENS) {
      const text = this.#match(pattern, this.#position)?.[0];
      if (text === undefined) continue;
      if (type === "operator") this.#balance(text, open);
      if (type === "name" && !ASCII_NAME.test(text) && !NAME.test(text))
        throw new TemplateError("a name has an invalid character", this.#line);
      this.#push(type === "operator" ? text : type, type === "string" ? this.#unescaped(text.slice(1, -1)) : text);
      this.#moveTo(this.#position + text.length);
      return;
    }
    const next = this.#source[this.#position];
    throw new TemplateError(next === undefined ? "a tag has no end" : `unexpected character ${JSON.stringify(next)}`, this.#line);
  }

  #balance(operator: string, open: string[]): void {
    if (open.length > MAX_BRACKETS) throw new TemplateError(`brackets are nested more than ${MAX_BRACKETS} deep`, this.#line);
    if (Object.hasOwn(CLOSING, operator)) open.push(CLOSING[operator]!);
    else if (")]}".includes(operator) && open.pop() !== operator) throw new TemplateError(`unexpected "${operator}"`, this.#line);
  }

  /** A string's value: Python's escapes; what isn't one stays as it is. */
  #unescaped(text: string): string {
    if (!text.includes("\\")) return text;
    const value = text.replace(ESCAPE, (whole: string, code: string) => {
      const simple = SIMPLE_ESCAPES[code[0]!];
      if (simple !== undefined) return simple;
      const digits = /^[xuU]/.test(code) ? code.slice(1) : code;
      const point = Number.parseInt(digits, /^[xuU]/.test(code) ? 16 : 8);
      if (Number.isNaN(point) || digits.length < (ESCAPE_DIGITS[code[0]!] ?? 1) || point > 0x10ffff) {
        throw new TemplateError(`${whole} is no character`, this.#line);
      }
      return String.fromCodePoint(point);
    });
    return value.replace(/\p{Surrogate}/gu, "\ufffd");
  }

  /** Empty text is no token. */
  #push(type: string, value: string): void {
    if (type === "data" && value === "") return;
    if (this.#tokens.length === MAX_TOKENS) throw new TemplateError(`it has more than ${MAX_TOKENS} tokens`, this.#line);
    this.#tokens.push({ type, value, line: this.#line });
  }

  #match(pattern: RegExp, position: number): RegExpExecArray | undefined {
    pattern.lastIndex = position;
    return pattern.exec(this.#source) ?? undefined;
  }

  #moveTo(position: number): void {
    for (; this.#position < position; this.#position++) if (this.#source[this.#position] === "\n") this.#line++;
    this.#lineStarts = this.#source[position - 1] === "\n";
  }
}

const ESCAPE = /\\(x[\da-fA-F]{0,2}|u[\da-fA-F]{0,4}|U[\da-fA-F]{0,8}|N|[0-7]{1,3}|[\n\\'"abfnrtv])/g;
const SIMPLE_ESCAPES: Record<string, string> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
const ESCAPE_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8, N: 9 };
