import { parseArgs } from "node:util";
import type { EngineOptions } from "../api/options.ts";
import type { GenerateParams } from "../api/params.ts";
import { invalid } from "../check.ts";
import { KvasirError } from "../errors.ts";

/** What the command line says: the command's words, and its options by name. */
export interface Arguments {
  words: string[];
  options: Record<string, string | boolean | undefined>;
}

/** Options that take a value, by what they are for. */
const ENGINE_OPTIONS = ["model", "device", "isa", "threads", "compute", "kv-type", "max-context"] as const;
const SAMPLING_OPTIONS = [
  "max-tokens",
  "min-tokens",
  "temperature",
  "top-k",
  "top-p",
  "min-p",
  "typical-p",
  "repetition-penalty",
  "presence-penalty",
  "frequency-penalty",
  "seed",
  "stop",
] as const;
const BENCH_OPTIONS = ["prompt", "tokens", "batch", "context"] as const;
const SPECULATE_OPTIONS = ["draft", "lookup"] as const;
const FLAGS = ["lookup", "ignore-eos", "json", "help", "version"] as const;

/** Options of each command; those of every command are json, help and version. */
const COMMAND_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  run: [...ENGINE_OPTIONS, ...SAMPLING_OPTIONS, "ignore-eos", ...SPECULATE_OPTIONS],
  bench: [...ENGINE_OPTIONS, ...BENCH_OPTIONS, ...SPECULATE_OPTIONS],
  eval: [...ENGINE_OPTIONS, "text"],
  pull: [],
};

/** Reads the command line. Throws INVALID_ARGUMENT for an option that does not exist, lacks its value or is another command's. */
export function readArguments(args: readonly string[]): Arguments {
  const config: Record<string, { type: "string" | "boolean" }> = {};
  for (const name of [...ENGINE_OPTIONS, ...SAMPLING_OPTIONS, ...BENCH_OPTIONS, "draft", "text"]) config[name] = { type: "string" };
  for (const name of FLAGS) config[name] = { type: "boolean" };
  const { words, options } = parse(args, config);
  const own = COMMAND_OPTIONS[words[0] ?? ""];
  const general: readonly string[] = ["json", "help", "version"];
  for (const name of Object.keys(options)) {
    if (own !== undefined && !own.includes(name) && !general.includes(name)) {
      throw new KvasirError("INVALID_ARGUMENT", `${words[0]} has no --${name}; kvasir --help lists what it has`);
    }
  }
  return { words, options };
}

function parse(args: readonly string[], options: Record<string, { type: "string" | "boolean" }>): Arguments {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    return { words: positionals, options: values as Arguments["options"] };
  } catch (cause) {
    const message = (cause as Error).message.replace(/\s*\n\s*/g, " ");
    throw new KvasirError("INVALID_ARGUMENT", message, { cause });
  }
}

/** Options of `Engine.open` from the command line. */
export function engineOptions({ options }: Arguments): EngineOptions {
  return {
    ...pick(options, ["device", "isa", "compute", "kv-type"], (text) => text),
    ...pick(options, ["threads", "max-context"], toNumber),
    ...speculateOption(options),
  } as EngineOptions;
}

function speculateOption({ draft, lookup }: Arguments["options"]): Pick<EngineOptions, "speculate"> {
  if (draft === undefined && lookup !== true) return {};
  return { speculate: { ...(typeof draft === "string" && { draft }), ...(lookup === true && { lookup }) } };
}

/** Parameters of `generate` from the command line. */
export function generateParams({ options }: Arguments): GenerateParams {
  const numbers = SAMPLING_OPTIONS.filter((name) => name !== "seed" && name !== "stop");
  return {
    ...pick(options, numbers, toNumber),
    // Seeds go up to 2^64 - 1, which a number does not hold.
    ...pick(options, ["seed"], (text, name) => (/^\d+$/.test(text) ? BigInt(text) : toNumber(text, name))),
    ...pick(options, ["stop"], (text) => text),
    ...(options["ignore-eos"] === true ? { ignoreEos: true } : {}),
  };
}

/** A comma-separated list of whole numbers, each at least `min`. */
export function integers({ options }: Arguments, name: string, fallback: number[], min: number = 1): number[] {
  const given = options[name];
  if (typeof given !== "string") return fallback;
  const values = given.split(",").map((text) => (text.trim() === "" ? Number.NaN : Number(text)));
  if (values.every((value) => Number.isSafeInteger(value) && value >= min)) return values;
  throw invalid(`--${name}`, given, `whole numbers from ${min} on, separated by commas`);
}

/** Those of `names` that were given, converted; `kv-type` becomes `kvType`. */
function pick<T>(options: Arguments["options"], names: readonly string[], convert: (text: string, name: string) => T): Record<string, T> {
  const picked: Record<string, T> = {};
  for (const name of names) {
    const given = options[name];
    if (typeof given === "string") picked[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())] = convert(given, name);
  }
  return picked;
}

function toNumber(text: string, name: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw invalid(`--${name}`, text, "a number");
  return value;
}
