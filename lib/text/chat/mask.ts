import { KvasirError, show } from "../../errors.ts";
import { wellFormed } from "../tokenizer/codec.ts";
import { TextTrie } from "../tokenizer/trie.ts";

/** Roles are not masked: templates compare them, and write special tokens by putting them between brackets. They are nobody's text. */
const ROLES = new Set(["system", "user", "assistant", "tool", "developer", "function", "ipython", "model", "observation"]);
const WORD = /^\w+$/;

/** Deepest nesting of what is given. Chosen: no chat is so deep, and what is deeper is most likely a cycle. */
const MAX_DEPTH = 64;

/** Characters that `tojson` and `trim` treat in their own way are masked only if nothing else can be. */
const DELICATE = /["\\\s\p{Cc}]/u;

/**
 * Keeps what a chat says from being read as special tokens: in every string, one character of each special token's text is replaced by a
 * sentinel, a private-use character that stands nowhere else. Beginnings of such a text at a string's end, ends of one at its start, and
 * strings that are a piece of one are broken likewise, so that strings which the template joins don't make a special token either. The
 * tokenizer puts the characters back once it has found the special tokens that the template wrote.
 */
export class ChatMasker {
  readonly #specialTexts: readonly string[];
  readonly #trie: TextTrie;
  /** Of the reversed texts, for what stands at a string's start. */
  readonly #reversed: TextTrie;
  readonly #taken: readonly string[];
  readonly #sentinels = new Map<string, string>();
  readonly #free: Iterator<string> = privateUse();
  #given = "";

  /** Sentinels occur in none of `taken`, nor in what is masked. */
  constructor(specialTexts: readonly string[], taken: readonly string[]) {
    this.#specialTexts = specialTexts;
    this.#trie = new TextTrie(specialTexts);
    this.#reversed = new TextTrie(specialTexts.map(reverse));
    this.#taken = [...specialTexts, ...taken];
  }

  /** Which sentinel stands for which character; complete once everything is masked. */
  get masks(): [sentinel: string, original: string][] {
    return [...this.#sentinels].map(([original, sentinel]) => [sentinel, original]);
  }

  /** A copy of JSON values with the strings masked, object keys too. Called once. */
  mask<T extends object>(given: T): { [K in keyof T]: unknown } {
    const strings: string[] = [];
    const copy = copyStrings(given, (text) => {
      strings.push(text);
      return text;
    });
    this.#given = strings.join("\0");
    return copyStrings(copy, (text, key) => this.#maskString(text, key)) as { [K in keyof T]: unknown };
  }

  #maskString(text: string, key: string | undefined): string {
    if ((key === "role" && ROLES.has(text)) || (key === "type" && WORD.test(text))) return text;
    const places = this.#places(text, key !== undefined);
    if (places.length === 0) return text;
    let masked = "";
    let end = 0;
    for (const place of [...new Set(places)].sort((a, b) => a - b)) {
      if (place < end) continue;
      const original = String.fromCodePoint(text.codePointAt(place)!);
      masked += text.slice(end, place) + this.#sentinel(original);
      end = place + original.length;
    }
    return masked + text.slice(end);
  }

  /** Where a character must be masked. */
  #places(text: string, isValue: boolean): number[] {
    const places: number[] = [];
    for (let i = 0; i < text.length; i++) {
      const length = this.#trie.longestAt(text, i);
      if (length > 0) places.push(i);
    }
    for (let i = Math.max(0, text.length - this.#trie.maxLength); i < text.length; i++) {
      if (this.#trie.isPrefixAt(text, i)) places.push(breakable(text, i, text.length));
    }
    const start = reverse(text.slice(0, this.#trie.maxLength));
    for (let i = 0; i < start.length; i++) {
      if (this.#reversed.isPrefixAt(start, i)) places.push(breakable(text, 0, start.length - i));
    }
    if (isValue && text !== "" && this.#specialTexts.some((special) => special.length > text.length && special.includes(text))) {
      places.push(breakable(text, 0, text.length));
    }
    return places;
  }

  #sentinel(original: string): string {
    let sentinel = this.#sentinels.get(original);
    if (sentinel === undefined) {
      sentinel = this.#unused();
      this.#sentinels.set(original, sentinel);
    }
    return sentinel;
  }

  #unused(): string {
    for (let next = this.#free.next(); next.done !== true; next = this.#free.next()) {
      const candidate: string = next.value;
      if (!this.#given.includes(candidate) && !this.#taken.some((text) => text.includes(candidate))) return candidate;
    }
    throw new KvasirError(
      "INVALID_ARGUMENT",
      "messages hold every private-use character from U+E000 to U+F8FF; expected at least one that they do not use",
    );
  }
}

/** The first place in text[start..end) whose character survives a template's usual filters. */
function breakable(text: string, start: number, end: number): number {
  for (let i = start; i < end; i++) if (!DELICATE.test(text[i]!)) return i;
  return start;
}

function reverse(text: string): string {
  return text.split("").reverse().join("");
}

function* privateUse(): Generator<string, undefined> {
  for (let code = 0xe000; code <= 0xf8ff; code++) yield String.fromCharCode(code);
}

/**
 * A deep copy of JSON values, each string and object key changed by `change`. Its `key` is the object key whose value the string is, "" for a
 * string elsewhere, and `undefined` for an object key itself.
 */
function copyStrings(value: unknown, change: (text: string, key: string | undefined) => string, key = "", depth = 0): unknown {
  if (depth > MAX_DEPTH)
    throw new KvasirError("INVALID_ARGUMENT", `messages, tools and templateVars are nested ${depth} deep; expected at most ${MAX_DEPTH}`);
  if (typeof value === "string") return change(wellFormed(value), key);
  if (value === null || value === undefined || typeof value === "boolean" || typeof value === "number") return value;
  if (Array.isArray(value)) return value.map((element) => copyStrings(element, change, "", depth + 1));
  if (typeof value !== "object")
    throw new KvasirError(
      "INVALID_ARGUMENT",
      `${show(value)} is of type ${typeof value}; expected JSON values in messages, tools and templateVars`,
    );
  const entries = Object.entries(value).filter(([, element]) => element !== undefined);
  return Object.fromEntries(
    entries.map(([name, element]) => [change(wellFormed(name), undefined), copyStrings(element, change, name, depth + 1)]),
  );
}
