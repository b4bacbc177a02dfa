import { inspect, types } from "node:util";

/**
 * Every failure that kvasir reports, by code. Branch on `error.code`; messages are for people and may change.
 *
 * | code | meaning |
 * |---|---|
 * | `INVALID_ARGUMENT` | an option or parameter has the wrong type or is out of range; the message names it, its value and what is allowed |
 * | `FILE_NOT_FOUND` | a file of the model does not exist or cannot be read |
 * | `MODEL_NOT_FOUND` | the hub has no such model, revision, quantization or file |
 * | `ACCESS_DENIED` | the hub wants a token, another token, or its model's conditions accepted |
 * | `OFFLINE` | the hub may not be asked, and the cache has not all of the model |
 * | `DOWNLOAD_FAILED` | the hub, or where its files are, can't be reached or gives wrong answers, also when asked again |
 * | `CHECKSUM_MISMATCH` | a file came with other bytes than the hub lists |
 * | `DISK_FULL` | the disk of the cache has no room for a download |
 * | `CACHE_FAILED` | the cache of downloads can't be written |
 * | `FILE_INVALID` | a file is cut short, malformed or contradicts itself, or its weights give logits that are no numbers |
 * | `UNSUPPORTED_FORMAT` | a file, tensor or quantization type that kvasir does not read |
 * | `UNSUPPORTED_MODEL` | an architecture, or a feature of one, that kvasir does not run |
 * | `UNSUPPORTED_TOKENIZER` | a tokenizer, pre-tokenizer or decoder that kvasir does not know |
 * | `NO_TOKENIZER` | text was given to a model that came without a tokenizer |
 * | `NO_CHAT_TEMPLATE` | messages were given to a model that came without a chat template |
 * | `TOKENIZER_FAILED` | the tokenizer ran past its deadline or its memory, or has no token for a character of the text |
 * | `TEMPLATE_FAILED` | the chat template refused the messages, failed, or took too many steps or too much memory |
 * | `PROMPT_TOO_LONG` | the prompt does not fit the context |
 * | `PROMPT_EMPTY` | the prompt has no token |
 * | `PROCESSOR_FAILED` | a logits processor threw, which is the `cause`, or left logits that no token can be chosen from |
 * | `OUT_OF_MEMORY` | memory for weights, cache or scratch could not be had |
 * | `UNSUPPORTED_DEVICE` | the asked device or instruction set is not there |
 * | `ADDON_MISSING` | the native addon was not found or could not be loaded |
 * | `CLOSED` | the engine or tokenizer was closed |
 * | `INTERNAL` | a defect of kvasir: please report it |
 *
 * @category Errors
 */
export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * The documented list of codes, in the order of the table at {@link ErrorCode}.
 *
 * @category Errors
 */
export const ERROR_CODES = [
  "INVALID_ARGUMENT",
  "FILE_NOT_FOUND",
  "MODEL_NOT_FOUND",
  "ACCESS_DENIED",
  "OFFLINE",
  "DOWNLOAD_FAILED",
  "CHECKSUM_MISMATCH",
  "DISK_FULL",
  "CACHE_FAILED",
  "FILE_INVALID",
  "UNSUPPORTED_FORMAT",
  "UNSUPPORTED_MODEL",
  "UNSUPPORTED_TOKENIZER",
  "NO_TOKENIZER",
  "NO_CHAT_TEMPLATE",
  "TOKENIZER_FAILED",
  "TEMPLATE_FAILED",
  "PROMPT_TOO_LONG",
  "PROMPT_EMPTY",
  "PROCESSOR_FAILED",
  "OUT_OF_MEMORY",
  "UNSUPPORTED_DEVICE",
  "ADDON_MISSING",
  "CLOSED",
  "INTERNAL",
] as const;

/**
 * The error of every kvasir function: a {@link ErrorCode | code}, a message that names the value and what is expected, the caller's stack.
 *
 * @category Errors
 */
export class KvasirError extends Error {
  override readonly name: string = "KvasirError";
  /** What failed, for programs. */
  readonly code: ErrorCode;

  /** `options.cause` is what led to the failure. */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * What kvasir tells of a model that it opens all the same, by code. What is computed is what other engines make of the same files.
 *
 * - `KVASIR_FILE_IRREGULAR`: a file breaks the rules of its format where it can be read in one way only: a byte-order mark, NaN in JSON,
 *   a key that stands twice
 * - `KVASIR_SETTING_IGNORED`: a setting that has no effect as it stands: an end token outside the vocabulary, a negative `top_k`
 * - `KVASIR_UNKNOWN_TOKENS`: the tokenizer has tokens for which the model has no embedding
 * - `KVASIR_HUB_UNREACHABLE`: the hub could not be asked for the newest revision; the model is the one in the cache
 *
 * And of a caller's mistake, always by `process.emitWarning`:
 *
 * - `KVASIR_NOT_CLOSED`: an engine or tokenizer was garbage-collected that nobody had closed; kvasir closed it
 *
 * @category Errors
 */
export type WarningCode =
  | "KVASIR_FILE_IRREGULAR"
  | "KVASIR_SETTING_IGNORED"
  | "KVASIR_UNKNOWN_TOKENS"
  | "KVASIR_HUB_UNREACHABLE"
  | "KVASIR_NOT_CLOSED";

/**
 * A warning of kvasir, in the form that `process.emitWarning` takes: a {@link WarningCode | code}, a message for people.
 *
 * @category Errors
 */
export class KvasirWarning extends Error {
  override readonly name: string = "KvasirWarning";
  /** What is told, for programs. */
  readonly code: WarningCode;

  /** Made by kvasir alone. */
  constructor(code: WarningCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Where warnings go while a model is opened. What it throws ends the opening. */
export type Warn = (warning: KvasirWarning) => void;

/** Where they go if nobody asked for them. */
export const emitWarning: Warn = (warning) => process.emitWarning(warning);

/** A number of things in a message: `1 token`, `2 tokens`; `shown` is the number as it should stand there. */
export function counted(count: number, noun: string, shown: string = String(count)): string {
  return `${shown} ${count === 1 ? noun : `${noun.replace(/([^aeiou])y$/, "$1ie")}s`}`;
}

/** Characters of a value in a message. */
const SHOWN = 80;

/**
 * `value` as it should stand in a message: JSON for what has one, short whatever it is. However large it is, little is read of it beside its
 * names, and no code of its own (getters, traps of proxies) runs.
 */
export function show(value: unknown): string {
  const text = shown(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}...` : text;
}

function shown(value: unknown): string {
  if (typeof value === "bigint") return BigInt.asIntN(256, value) === value ? String(value) : "a bigint beyond 256 bits";
  if (typeof value === "symbol") return `Symbol(${value.description?.slice(0, SHOWN) ?? ""})`;
  if (typeof value === "string" || isTree(value)) return escaped(JSON.stringify(beginning(value, { values: SHOWN / 2 })));
  return typeof value === "object" || typeof value === "function" ? named(value) : String(value);
}

/** JSON leaves the control characters above 126, some of which terminals obey. */
function escaped(json: string): string {
  return json.replaceAll(/\p{Cc}/gu, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

/** As much of a tree of values as a message can show. */
function beginning(value: unknown, left: { values: number }): unknown {
  left.values -= 1;
  if (typeof value === "string") return value.slice(0, SHOWN);
  if (typeof value === "bigint") return shown(value);
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (!isTree(value)) return typeof value === "object" && value !== null ? named(value) : value;
  const part = (key: string | number): unknown => beginning(Object.getOwnPropertyDescriptor(value, key)?.value, left);
  const parts: [string, unknown][] = [];
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && left.values > 0; i++) parts.push([String(i), part(i)]);
    return parts.map(([, element]) => element);
  }
  for (const key of Object.keys(value)) {
    if (left.values <= 0) break;
    parts.push([key.slice(0, SHOWN), part(key)]);
  }
  return Object.fromEntries(parts);
}

/** Whether a value is an array or plain, and no proxy. */
function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null && !types.isProxy(value) && (Array.isArray(value) || isPlain(value));
}

/** What kind of object it is. */
function named(value: object | null): string {
  try {
    return inspect(value, { depth: -1, customInspect: false }).split("\n", 1)[0]!;
  } catch {
    return "an object"; // its tag threw
  }
}

/** Whether an object is one of properties alone: made by `{}`, in whatever realm, or without a prototype. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "isPrototypeOf"));
}
