import { runInNewContext } from "node:vm";
import { PARAM_NAMES } from "../../../lib/api/params.ts";
import type { Engine } from "../../../lib/engine.ts";
import { KvasirError } from "../../../lib/errors.ts";
import type { Tokenizer } from "../../../lib/tokenizer.ts";
import { randomIntegers } from "../../support/mutants.ts";

/** Calls of public methods with arguments that no caller in his right mind would pass, the same for a seed. */

/** Who is called. */
export interface Callees {
  engine: Engine;
  tokenizer: Tokenizer;
  open(model: unknown, options: unknown): Promise<Engine>;
  openTokenizer(model: unknown, options: unknown): Promise<Tokenizer>;
}

type Below = (n: number) => number;

/** What signals abort with, and what getters and callbacks throw. */
const OWN = new TypeError("a caller's own error");

const throwing = (): never => {
  throw OWN;
};

/** Values of every kind, made anew since calls may change them. */
const VALUES: readonly ((below: Below) => unknown)[] = [
  () => undefined,
  () => null,
  () => true,
  () => Number.NaN,
  () => -0,
  () => Number.NEGATIVE_INFINITY,
  (below) => [-1, 0.5, 2 ** 31, 2 ** 53, 1e300][below(5)],
  (below) => below(60),
  (below) => [-1n, 1n << 64n, 1n << 5000n, 7n][below(4)],
  () => Symbol("junk"),
  (below) => ["", "a", "\ud800", "\0", "<s>", "__proto__", "x".repeat(5000), "cpu", "default"][below(9)],
  () => throwing,
  () => () => {},
  () => [],
  (below) => Array.from({ length: below(6) }, () => below(60)),
  () => new Array(2 ** 32 - 1),
  () => [[[]], {}],
  () => Object.assign([1, 2], { length: 5 }),
  () => ({}),
  () => Object.create(null) as object,
  () => JSON.parse('{ "__proto__": 1, "toJSON": 2 }') as object,
  () => Object.defineProperty({}, "temperature", { get: throwing, enumerable: true }),
  () => new Map([[1, 1]]),
  () => new Set([1]),
  () => new Date(Number.NaN),
  () => new Error("junk"),
  () => Promise.resolve(1),
  () => new (class Instance {})(),
  () => new Int32Array([1, 2, 3]),
  () => new Float64Array([1, 2]),
  () => new Int32Array(new SharedArrayBuffer(8)),
  () => detached(),
  () => runInNewContext("[1, 2]") as unknown,
  () => new Proxy({}, { get: throwing, ownKeys: throwing, getPrototypeOf: throwing }),
  () => new Proxy([1, 2], { get: (_, key) => (key === "length" ? 2 ** 40 : 1) }),
  () => revoked(),
  () => cyclic(),
  () => AbortSignal.abort(OWN),
  () => new AbortController().signal,
  () => Object.create(AbortSignal.prototype) as object,
  () => ({ [Symbol.toStringTag]: "AbortSignal", aborted: false, addEventListener: throwing }),
];

function detached(): Int32Array {
  const array = new Int32Array(4);
  structuredClone(array, { transfer: [array.buffer] });
  return array;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  return proxy;
}

function cyclic(): object {
  const cycle: Record<string, unknown> = {};
  return Object.assign(cycle, { messages: [cycle, cycle], role: cycle, content: [cycle] });
}

const CHAT = ["messages", "tools", "templateVars", "addGenerationPrompt", "continueFinalMessage", "template"];
const OPTIONS = ["device", "threads", "isa", "compute", "kvType", "maxContext", "kvCacheBytes", "maxBatchTokens", "prefixCache"];
const MORE_OPTIONS = ["speculate", "signal", "onProgress", "onWarning", "lookup", "draft", "tokens"];

/** What an engine takes that is opened all the same. */
const SMALL = { device: "cpu", threads: 1, kvCacheBytes: 2 ** 22 };

class Junk {
  readonly #below: Below;

  constructor(below: Below) {
    this.#below = below;
  }

  value(): unknown {
    return VALUES[this.#below(VALUES.length)]!(this.#below);
  }

  /** An object that has some of these keys, or a value of any kind. */
  object(keys: readonly string[], base: object = {}): unknown {
    if (this.#below(6) === 0) return this.value();
    const entries = Array.from({ length: this.#below(3) }, () => [keys[this.#below(keys.length)]!, this.value()]);
    return { ...base, ...Object.fromEntries(entries) };
  }

  prompt(): unknown {
    const kind = this.#below(4);
    if (kind === 0) return this.value();
    if (kind === 1) return "Once upon a time";
    return kind === 2 ? [1, 2, 3] : this.chat();
  }

  model(): unknown {
    return this.#below(2) === 0 ? this.value() : "tales";
  }

  chat(): unknown {
    const message = this.object(["role", "content", "tool_calls", "name"], { role: "user", content: "Hi" });
    return this.object(CHAT, { messages: [message] });
  }

  /** What ends soon. */
  params(): unknown {
    return this.object(PARAM_NAMES, { maxTokens: 1 + this.#below(3) });
  }
}

/** What can be called, with junk. */
const METHODS: Record<string, (callees: Callees, junk: Junk) => Promise<unknown>> = {
  generate: ({ engine }, junk) => engine.generate(junk.prompt() as never, junk.params() as never),
  stream: ({ engine }, junk) => drain(engine.stream(junk.prompt() as never, junk.params() as never)),
  tokenize: ({ engine }, junk) => engine.tokenize(junk.value() as never, junk.object(["addSpecial", "parseSpecial"]) as never),
  detokenize: ({ engine }, junk) => engine.detokenize(junk.value() as never),
  renderChat: ({ engine }, junk) => engine.renderChat(junk.chat() as never),
  score: ({ engine }, junk) => engine.score(junk.prompt() as never, junk.object(["logits", "signal"]) as never),
  open: async ({ open }, junk) => (await open(junk.model(), junk.object([...OPTIONS, ...MORE_OPTIONS], SMALL))).close(),
  "Tokenizer.open": async ({ openTokenizer }, junk) => (await openTokenizer(junk.model(), junk.object(MORE_OPTIONS))).close(),
  "Tokenizer.encode": ({ tokenizer }, junk) =>
    tokenizer.encode(junk.value() as never, junk.object(["addSpecial", "parseSpecial"]) as never),
  "Tokenizer.decode": ({ tokenizer }, junk) => tokenizer.decode(junk.value() as never),
  "Tokenizer.renderChat": ({ tokenizer }, junk) => tokenizer.renderChat(junk.chat() as never),
  "Tokenizer.tokenBytes": async ({ tokenizer }, junk) => tokenizer.tokenBytes(junk.value() as never),
};

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** What became of calls: results, errors by code, errors of the caller's own (reasons of signals, `onProgress`), and others. */
export interface JunkReport {
  results: number;
  own: number;
  codes: Map<string, number>;
  untyped: string[];
}

/** Makes `count` calls, `atOnce` of them at a time. */
export async function callWithJunk(callees: Callees, count: number, seed: number, atOnce = 20): Promise<JunkReport> {
  const below = randomIntegers(seed);
  const junk = new Junk(below);
  const report: JunkReport = { results: 0, own: 0, codes: new Map(), untyped: [] };
  const names = Object.keys(METHODS);
  for (let made = 0; made < count; made += atOnce) {
    const calls = Array.from({ length: Math.min(atOnce, count - made) }, () => noted(report, callees, names[below(names.length)]!, junk));
    await Promise.all(calls);
  }
  return report;
}

async function noted(report: JunkReport, callees: Callees, name: string, junk: Junk): Promise<void> {
  try {
    await METHODS[name]!(callees, junk);
    report.results += 1;
  } catch (error) {
    if (error instanceof KvasirError) report.codes.set(error.code, (report.codes.get(error.code) ?? 0) + 1);
    else if (error === OWN) report.own += 1;
    else report.untyped.push(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
  }
}
