import { isObject } from "../../check.ts";
import { KvasirError, show } from "../../errors.ts";
import { refusalOf } from "./refusals.ts";
import { type ComponentJson, malformed } from "./tokenizer-json.ts";

/** One component of a tokenizer.json: typed reads of its arguments, whose errors name it. */
export class Component {
  readonly type: string;
  readonly json: ComponentJson;
  /** Its place in the file, as `pre_tokenizer.pretokenizers[1]`. */
  readonly #place: string;
  readonly #file: string;

  private constructor(json: ComponentJson, place: string, file: string) {
    this.json = json;
    this.type = json.type;
    this.#place = place;
    this.#file = file;
  }

  /** The components at a place in the order in which they run: those that Sequences hold (under `list`) in place of these. */
  static chain(json: unknown, list: string, place: string, file: string): Component[] {
    if (json === null || json === undefined) return [];
    if (!isObject(json) || typeof json.type !== "string") throw malformed(file, place, json, "an object with a type");
    const component = new Component(json as ComponentJson, place, file);
    if (json.type !== "Sequence") return [component];
    return component.array(list).flatMap((part, i) => {
      if (part === null) throw malformed(file, `${place}.${list}[${i}]`, part, "an object with a type");
      return Component.chain(part, list, `${place}.${list}[${i}]`, file);
    });
  }

  /** An argument that is true or false; `absent` is what null and a missing one mean, if they may be. */
  boolean(name: string, absent?: boolean): boolean {
    return this.#argument(name, absent, "true or false", (value) => typeof value === "boolean");
  }

  string(name: string, absent?: string): string {
    return this.#argument(name, absent, "a text", (value) => typeof value === "string");
  }

  /** A text of one character. */
  character(name: string, absent?: string): string {
    return this.#argument(name, absent, "one character", (value) => typeof value === "string" && [...value].length === 1);
  }

  /** A whole number from `least` to 2^31 - 1. */
  integer(name: string, least: number, absent?: number): number {
    const fits = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= least && (value as number) < 2 ** 31;
    return this.#argument(name, absent, `a whole number from ${least}`, fits);
  }

  oneOf<T extends string>(name: string, values: readonly T[], absent?: T): T {
    return this.#argument(name, absent, values.join(", "), (value) => values.includes(value as T));
  }

  array(name: string): unknown[] {
    return this.#argument<unknown[]>(name, undefined, "an array", Array.isArray);
  }

  /** A FILE_INVALID error about one of the arguments. */
  invalid(name: string, value: unknown, expected: string): KvasirError {
    return malformed(this.#file, `${this.#place}.${name}`, value, expected);
  }

  /** The error for a component of another type than these. */
  unknown(known: readonly string[]): KvasirError {
    return this.unsupported(`kvasir knows ${known.join(", ")}${refusalOf(this.type)}`);
  }

  /** An UNSUPPORTED_TOKENIZER error about the component or one of its arguments. */
  unsupported(reason: string): KvasirError {
    return new KvasirError("UNSUPPORTED_TOKENIZER", `${this.#file}: ${this.#place} is ${show(this.json)}; ${reason}`);
  }

  #argument<T>(name: string, absent: T | undefined, expected: string, fits: (value: unknown) => boolean): T {
    const value = this.json[name] ?? absent;
    if (!fits(value)) throw this.invalid(name, value, expected);
    return value as T;
  }
}
