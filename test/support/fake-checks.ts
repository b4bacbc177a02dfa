import {
  MAX_TOP_LOGPROBS,
  type NativeConfig,
  ROW_OUTPUT,
  type SlotConfig,
  type StepBuffers,
  type StepResults,
} from "../../lib/native/addon.ts";

/** What the addon refuses (config_reader.cc, step_task.cc, engine/batch.cc), for the fake native engine: test/addon/contract.test.ts runs both. */

/** An error as the addon's. */
export function nativeFailure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Throws INVALID_ARGUMENT unless `right`. */
export function expectRight(right: boolean, message: string): asserts right {
  if (!right) throw nativeFailure("INVALID_ARGUMENT", message);
}

function integer(name: string, value: unknown, least: number, most: number): number {
  expectRight(Number.isInteger(value) && (value as number) >= least && (value as number) <= most, `${name} is ${String(value)}`);
  return value as number;
}

function number(name: string, value: unknown, least: number, most: number): void {
  expectRight(typeof value === "number" && value >= least && value <= most, `${name} is ${String(value)}`);
}

/** A slot that there is. */
export function checkSlot(slot: number, { maxSlots }: NativeConfig): number {
  return integer("slot", slot, 0, maxSlots - 1);
}

/** A copy of a slot's configuration, whose values are right. */
export function copySlotConfig(config: SlotConfig, vocabSize: number): SlotConfig {
  number("temperature", config.temperature, 0, 1e30);
  integer("topK", config.topK, 0, 2 ** 30);
  for (const name of ["topP", "minP", "typicalP"] as const) number(name, config[name], 0, 1);
  number("repetitionPenalty", config.repetitionPenalty, 1e-6, 1e6);
  for (const name of ["presencePenalty", "frequencyPenalty"] as const) number(name, config[name], -1e6, 1e6);
  const ids = (name: "biasTokens" | "endTokens" | "tokens"): Int32Array => {
    const copy = copyOf(Int32Array, name, config[name], config[name]?.length);
    expectRight(
      copy.every((id) => id >= 0 && id < vocabSize),
      `${name} has an id outside the vocabulary`,
    );
    return copy;
  };
  const [biasTokens, endTokens, tokens] = [ids("biasTokens"), ids("endTokens"), ids("tokens")];
  const biasValues = copyOf(Float64Array, "biasValues", config.biasValues, biasTokens.length);
  expectRight(config.biasValues.length === biasTokens.length, "biasValues is too long");
  expectRight(typeof config.seed === "bigint" && config.seed >= 0n && config.seed < 1n << 64n, `seed is ${config.seed}`);
  integer("minTokens", config.minTokens, 0, 2 ** 30);
  integer("logprobs", config.logprobs, -1, MAX_TOP_LOGPROBS);
  integer("promptLength", config.promptLength, 0, tokens.length);
  return { ...config, biasTokens, biasValues, endTokens, tokens };
}

type Elements = Int32Array | Float32Array | Float64Array;

/** A copy of the first `length` elements of an array of this kind, which has to have them. */
export function copyOf<T extends Elements>(kind: new (length: number) => T, name: string, array: unknown, length: number): T {
  expectRight(isOfKind(array, kind), `${name} is not a typed array of the right kind`);
  expectRight(length >= 0 && array.length >= length, `${name} has ${array.length} elements; this call needs ${length}`);
  return array.slice(0, length) as T;
}

/** By what it is, as the addon tells it: it may be of another realm. */
function isOfKind<T extends Elements>(array: unknown, kind: new (length: number) => T): array is T {
  return ArrayBuffer.isView(array) && Object.prototype.toString.call(array) === `[object ${kind.name}]`;
}

/** A step as the addon copies it, with sizes that fit each other, and room for its results. */
export function copyStep(buffers: StepBuffers, config: NativeConfig): StepBuffers {
  const rowCount = integer("rowCount", buffers.rowCount, 1, config.maxSlots);
  const groups = config.spec.cacheGroups.length;
  const part = (name: keyof StepBuffers, length: number): Int32Array => copyOf(Int32Array, name, buffers[name], length);
  const [qIndptr, outIndptr, kvIndptr] = [
    part("qIndptr", rowCount + 1),
    part("outIndptr", rowCount + 1),
    part("kvIndptr", groups * (rowCount + 1)),
  ];
  const { vocabSize } = config.spec;
  const { logits } = buffers;
  expectRight(logits === undefined || logits instanceof Float32Array, "logits is not a Float32Array");
  expectRight((logits?.length ?? 0) % vocabSize === 0, `logits are not whole rows of ${vocabSize}`);
  return {
    rowCount,
    slots: part("slots", rowCount),
    qIndptr,
    starts: part("starts", rowCount),
    tokens: part("tokens", qIndptr[rowCount]!),
    kinds: part("kinds", rowCount),
    outIndptr,
    nextTokens: part("nextTokens", rowCount),
    logitRows: part("logitRows", rowCount),
    kvIndptr,
    kvFirst: part("kvFirst", groups * rowCount),
    kvPages: part("kvPages", kvIndptr.at(-1)!),
    logits: logits && new Float32Array(logits.length),
    drafts: undefined,
    ...emptyResults(Math.max(0, outIndptr[rowCount]!)),
  };
}

/** Results of outputs that give nothing. */
export function emptyResults(outputs: number): StepResults {
  return {
    sampled: new Int32Array(outputs).fill(-1),
    logprobs: new Float32Array(outputs).fill(Number.NaN),
    topTokens: new Int32Array(outputs * MAX_TOP_LOGPROBS).fill(-1),
    topLogprobs: new Float32Array(outputs * MAX_TOP_LOGPROBS),
  };
}

/** Copies results into the caller's arrays, which have to be long enough still. */
export function copyBack(results: StepResults, arrays: StepResults): void {
  for (const name of ["sampled", "logprobs", "topTokens", "topLogprobs"] as const) {
    const [from, to] = [results[name], arrays[name]];
    expectRight(to?.constructor === from.constructor && to.length >= from.length, `${name} is too short`);
    to.set(from);
  }
}

/** A step that reads and writes nothing outside what its rows own. */
export function checkStep(step: StepBuffers, config: NativeConfig): void {
  expectRight(step.qIndptr[0] === 0 && step.tokens.length <= config.maxBatchTokens, `a step of ${step.tokens.length} tokens`);
  expectRight(step.outIndptr[0] === 0, "outIndptr begins with another number than 0");
  const most = step.rowCount * config.spec.cacheGroups.length * Math.ceil(config.maxContext / config.pageSize);
  expectRight(step.kvPages.length <= most, `a step of ${step.kvPages.length} pages`);
  for (let b = 0; b < step.rowCount; b++) {
    checkRow(step, b, config);
    checkOutputs(step, b, config.spec.vocabSize);
    for (let g = 0; g < config.spec.cacheGroups.length; g++) checkPages(step, b, g, config);
  }
  expectRight(new Set(step.slots).size === step.rowCount, "a slot is in two rows");
  for (const token of step.tokens) integer("token", token, -1, config.spec.vocabSize - 1);
}

function checkRow(step: StepBuffers, b: number, { maxContext, maxSlots, spec }: NativeConfig): void {
  const count = integer(`row ${b}: tokens`, step.qIndptr[b + 1]! - step.qIndptr[b]!, 1, maxContext);
  integer(`row ${b}: start`, step.starts[b], 0, maxContext - count);
  integer(`row ${b}: slot`, step.slots[b], 0, maxSlots - 1);
  integer(`row ${b}: next token`, step.nextTokens[b], -1, spec.vocabSize - 1);
}

function checkOutputs(step: StepBuffers, b: number, vocabSize: number): void {
  const tokens = step.qIndptr[b + 1]! - step.qIndptr[b]!;
  const output = integer(`row ${b}: kind`, step.kinds[b], 0, 3);
  const { none, sample, score } = ROW_OUTPUT;
  const most = output === none ? 0 : output === sample || output === score ? tokens : 1;
  const outputs = integer(`row ${b}: outputs`, step.outIndptr[b + 1]! - step.outIndptr[b]!, output === sample ? 1 : most, most);
  const rows = (step.logits?.length ?? 0) / vocabSize;
  const first = integer(`row ${b}: place of its logits`, step.logitRows[b], output === ROW_OUTPUT.logits ? 0 : -1, 2 ** 31);
  expectRight(first < 0 || first + outputs <= rows, `row ${b}: its logits end outside ${rows} rows`);
}

function checkPages(step: StepBuffers, b: number, g: number, { pageSize, pages, spec }: NativeConfig): void {
  const indptr = g * (step.rowCount + 1) + b;
  const [begin, end, first] = [step.kvIndptr[indptr]!, step.kvIndptr[indptr + 1]!, step.kvFirst[g * step.rowCount + b]!];
  expectRight(begin >= 0 && end >= begin && end <= step.kvPages.length && first >= 0, `row ${b}: pages [${begin}, ${end}) in group ${g}`);
  const { window } = spec.cacheGroups[g]!;
  const start = step.starts[b]!;
  const seen = window === 0 ? 0 : Math.max(0, start - window + 1);
  const stop = start + step.qIndptr[b + 1]! - step.qIndptr[b]!;
  expectRight(first * pageSize <= seen && (first + end - begin) * pageSize >= stop, `row ${b}: its pages in group ${g} do not cover it`);
  for (const page of step.kvPages.subarray(begin, end)) integer(`row ${b}: page in group ${g}`, page, 0, pages[g]! - 1);
}
