import type { EngineOptions } from "../api/options.ts";
import { checkParams, type GenerateParams } from "../api/params.ts";
import { KvasirError } from "../errors.ts";
import type { Arguments } from "./arguments.ts";
import type { Option, OptionGroup } from "./command.ts";

const MODEL: Option = {
  value: "MODEL",
  short: "m",
  help: '"tales" (bundled, default), a Hugging Face directory, a .gguf file, or a name on the hub',
};
const PRESENT_MODEL: Option = {
  value: "MODEL",
  short: "m",
  help: '"tales" (bundled), a Hugging Face directory, a .gguf file, or a name on the hub that is in the cache',
};
const DEVICE: Option = { value: "NAME", help: "auto, cpu, cuda or cuda:N" };
const KV_TYPE: Option = { value: "TYPE", help: "f32, f16, bf16 or fp8: what the cache keeps (default: f16)" };

/** Which model, and how it runs. */
export const ENGINE_OPTIONS: OptionGroup = {
  title: "model",
  options: {
    model: MODEL,
    device: DEVICE,
    threads: { value: "N", help: "threads that compute, no more than may run at once (default: one for each core)" },
    isa: { value: "NAME", help: "auto, portable, avx2, avx512 or avx512_bf16" },
    compute: { value: "KIND", help: "auto, f32, bf16 or int8" },
    "kv-type": KV_TYPE,
    "max-context": { value: "N", help: "tokens that a request may have (default: what the model was trained for)" },
  },
};

/** Who guesses. */
export const SPECULATE_OPTIONS: OptionGroup = {
  title: "speculation",
  options: {
    draft: { value: "MODEL", help: "a smaller model of the same tokenizer that guesses tokens" },
    lookup: { help: "guesses that the text goes on as it did before" },
  },
};

/** Sampling's numbers, by the names that `GenerateParams` has for them. */
const NUMBERS: Readonly<Record<string, Option>> = {
  "max-tokens": { value: "N", help: "tokens to write at most (default: what the context holds)" },
  "min-tokens": { value: "N", help: "tokens to write at least" },
  temperature: { value: "X", help: "0 takes the most probable token" },
  "top-k": { value: "N", help: "of the N most probable tokens; 0: of all" },
  "top-p": { value: "X", help: "of the most probable ones that together have X" },
  "min-p": { value: "X", help: "of those at least X times as probable as the most probable" },
  "typical-p": { value: "X", help: "of the most typical ones that together have X" },
  "repetition-penalty": { value: "X", help: "above 1: less of what was there" },
  "presence-penalty": { value: "X", help: "above 0: less of what was written" },
  "frequency-penalty": { value: "X", help: "above 0: less of what was written often" },
};

/** How tokens are chosen, and when it ends. */
export const SAMPLING_OPTIONS: OptionGroup = {
  title: "sampling (default: what the model's files recommend)",
  options: {
    ...NUMBERS,
    seed: { value: "N", help: "the same seed, the same text" },
    stop: { value: "TEXT", help: "ends before this text; may be given several times" },
    "ignore-eos": { help: "goes on where the model would end" },
  },
};

/** Where a model would run, of commands that load none. */
export const PLACE_OPTIONS: OptionGroup = { title: "model", options: { model: PRESENT_MODEL, device: DEVICE, "kv-type": KV_TYPE } };

/** The model alone, of commands that load none. */
export const MODEL_OPTION: OptionGroup = { title: "model", options: { model: PRESENT_MODEL } };

/** The model of a command whose one word it is; -m does as well. */
export function modelWord(args: Arguments, command: string): string {
  const [word, ...others] = args.words;
  const model = word ?? args.text("model");
  if (model === undefined || others.length > 0 || (word !== undefined && args.has("model")))
    throw new KvasirError("INVALID_ARGUMENT", `${command} needs one MODEL: kvasir ${command} tales`);
  return model;
}

/** Refuses words after a command that takes none. */
export function refuseWords({ words }: Arguments, command: string, expected: string): void {
  if (words.length > 0) throw new KvasirError("INVALID_ARGUMENT", `${command} takes no ${words[0]}; expected ${expected}`);
}

/** Options of `Engine.open` from the command line. */
export function engineOptions(args: Arguments): EngineOptions {
  const draft = args.text("draft");
  const lookup = args.has("lookup");
  const guesses = draft !== undefined || lookup;
  return {
    ...pick(["device", "isa", "compute", "kv-type"], (name) => args.text(name)),
    ...pick(["threads", "max-context"], (name) => args.number(name)),
    ...(guesses && { speculate: { ...(draft !== undefined && { draft }), ...(lookup && { lookup }) } }),
  } as EngineOptions;
}

/** Parameters of `generate` from the command line, checked: a wrong one need not wait for a model. */
export function generateParams(args: Arguments): GenerateParams {
  const params = givenParams(args);
  checkParams(params, {}, 0); // no option names a token, so that the vocabulary's size plays no part
  return params;
}

function givenParams(args: Arguments): GenerateParams {
  const seed = args.text("seed");
  const stop = args.texts("stop");
  return {
    ...pick(Object.keys(NUMBERS), (name) => args.number(name)),
    // Seeds go up to 2^64 - 1, which a number does not hold.
    ...(seed !== undefined && { seed: /^\d+$/.test(seed) ? BigInt(seed) : args.number("seed")! }),
    ...(stop !== undefined && { stop: [...stop] }),
    ...(args.has("ignore-eos") && { ignoreEos: true }),
  };
}

/** Those of `names` that were given; `kv-type` becomes `kvType`. */
function pick<T>(names: readonly string[], given: (name: string) => T | undefined): Record<string, T> {
  const picked: Record<string, T> = {};
  for (const name of names) {
    const value = given(name);
    if (value !== undefined) picked[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())] = value;
  }
  return picked;
}
