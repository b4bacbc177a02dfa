import { checkKeys, invalid, MAX_TEXT, reading } from "../../check.ts";
import { isPlain } from "../../errors.ts";
import { MAX_DEPTH } from "../jinja/data.ts";
import type { Chat } from "./messages.ts";

const KEYS: readonly (keyof Chat)[] = ["messages", "tools", "templateVars", "addGenerationPrompt", "continueFinalMessage", "template"];

/** Most values of a conversation; of characters, in values and names, it has no more than a text. Chosen: each value costs a template some steps. */
const MAX_VALUES = 100_000;

/** Characters of a name in a message. */
const SHOWN = 80;

/** A conversation as it is now, whatever its owner does to it later: each part of it is read once. Throws INVALID_ARGUMENT under `name`. */
export function copyChat(name: string, chat: unknown): Partial<Chat> {
  const copier = new Copier();
  const fields = Object.entries(checkKeys<Chat>(name, chat, KEYS));
  return Object.fromEntries(fields.map(([key, value]) => [key, copier.copy(key, value)]));
}

/** Copies trees of plain objects and arrays. Other objects are what their `toJSON` says; all else is left for the template's importer to judge. */
class Copier {
  #values = 0;
  #characters = 0;
  /** The keys on the way to the value that is copied. */
  readonly #path: (string | number)[] = [];

  /** What the caller passed as `name`. */
  copy(name: string, value: unknown): unknown {
    this.#path.length = 0;
    return reading(name, () => this.#at(name, value));
  }

  #at(key: string | number, value: unknown): unknown {
    this.#path.push(key);
    this.#count(value);
    const copy = typeof value === "object" && value !== null ? this.#object(value) : value;
    this.#path.pop();
    return copy;
  }

  #object(value: object): unknown {
    if (this.#path.length > MAX_DEPTH) throw this.#refused(value, `nested at most ${MAX_DEPTH} deep`);
    if (Array.isArray(value)) return this.#array(value);
    const entries = isPlain(value) ? this.#entries(value) : undefined;
    const { toJSON } = (entries ?? value) as { toJSON?: unknown };
    if (typeof toJSON === "function") return this.#at("toJSON()", toJSON.call(value));
    if (entries === undefined) throw this.#refused(value, "a JSON value");
    return entries;
  }

  #array(values: readonly unknown[]): unknown[] {
    const copy: unknown[] = [];
    const { length } = values;
    for (let i = 0; i < length; i++) copy.push(this.#at(i, values[i]));
    return copy;
  }

  #entries(value: object): object {
    const entries = Object.keys(value).map((key): [string, unknown] => [key, this.#at(key, value[key as keyof typeof value])]);
    return Object.fromEntries(entries);
  }

  #count(value: unknown): void {
    this.#values += 1;
    if (typeof value === "string") this.#characters += value.length;
    const key = this.#path.at(-1)!;
    if (typeof key === "string") this.#characters += key.length;
    if (this.#values > MAX_VALUES) throw this.#refused(value, `no more than ${MAX_VALUES} values in all`);
    if (this.#characters > MAX_TEXT) throw this.#refused(value, `no more than ${MAX_TEXT} characters in all`);
  }

  #refused(value: unknown, expected: string): Error {
    const [name, ...keys] = this.#path;
    return invalid(
      `${name}${keys.map((key) => (typeof key === "number" ? `[${key}]` : `.${key.slice(0, SHOWN)}`)).join("")}`,
      value,
      expected,
    );
  }
}
