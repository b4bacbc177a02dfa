/** Slots and steps for the op `sample`. */
import { type Isa, MAX_TOP_LOGPROBS, ROW_OUTPUT, type SlotConfig, type StepResults } from "../../lib/native/addon.ts";
import { type Matrix, op, VARIANTS } from "./ops.ts";
import { cumulate } from "./paged.ts";
import { slotConfig } from "./slot-config.ts";

/** A slot that samples from the plain distribution, but for what is given. */
export function plainSlot(change: Partial<SlotConfig> = {}): SlotConfig {
  return slotConfig({ temperature: 1, ...change });
}

/** A row of a step: one sampled output of slot 0 unless said otherwise. */
export interface SampleRow {
  slot?: number;
  kind?: keyof typeof ROW_OUTPUT;
  tokens?: number[];
  outputs?: number;
  /** Score rows: the token after the last. */
  next?: number;
  /** Where its logits begin in the result. */
  logitRow?: number;
}

/** The GPU's stages on the host: a row is shared by `blocks` blocks of `threads` threads. */
export interface TeamSize {
  blocks: number;
  threads: number;
}

/** With KVASIR_TEST_DEVICE=cuda the steps run on the first GPU. */
const DEVICE = process.env.KVASIR_TEST_DEVICE === "cuda" ? { device: "cuda" as const } : {};

function results(outputs: number): StepResults {
  const tops = outputs * MAX_TOP_LOGPROBS;
  return {
    sampled: new Int32Array(outputs).fill(-7),
    logprobs: new Float32Array(outputs),
    topTokens: new Int32Array(tops).fill(-7),
    topLogprobs: new Float32Array(tops),
  };
}

/** A step of these rows from the logits of all their outputs, which it copies; with as many rows, tokens and outputs of `padding`. */
export function stepOf(vocab: number, rows: SampleRow[], logits: Float32Array, padding = 0) {
  const kinds = rows.map(({ kind = "sample" }) => kind);
  const outIndptr = cumulate(rows.map(({ outputs = 1 }) => outputs));
  const logitRow = (row: SampleRow, b: number) => row.logitRow ?? (kinds[b] === "logits" ? 0 : -1);
  const resultRows = rows.reduce((sum, row, b) => (logitRow(row, b) < 0 ? sum : Math.max(sum, logitRow(row, b) + (row.outputs ?? 1))), 0);
  return {
    qIndptr: cumulate(rows.map(({ tokens = [0] }) => tokens.length)),
    starts: new Int32Array(rows.length),
    tokens: Int32Array.from(rows.flatMap(({ tokens = [0] }) => tokens)),
    slots: Int32Array.from(rows, ({ slot = 0 }) => slot),
    kinds: Int32Array.from(kinds, (kind) => ROW_OUTPUT[kind]),
    outIndptr,
    nextTokens: Int32Array.from(rows, ({ next = -1 }) => next),
    logitRows: Int32Array.from(rows, logitRow),
    padding: { rows: padding, tokens: padding, outputs: padding },
    logits: Float32Array.from([...logits, ...new Float32Array(padding * vocab)]),
    resultLogits: new Float32Array(resultRows * vocab),
    ...results(outIndptr[rows.length]! + padding),
  };
}

/** A choice from the changed logits of a slot that had a `logits` row. */
export function choiceOf(slot: number, logits: Float32Array) {
  return { choose: slot, logits, ...results(1) };
}

/** What the op takes of a step: as `stepOf` makes it, with rows of logits that may lie apart, sampled `piece` at a time. */
export type SampleStep = Omit<ReturnType<typeof stepOf>, "logits"> & { logits: Float32Array | Matrix; piece?: number };
/** What the op takes of a choice. */
export type SampleChoice = ReturnType<typeof choiceOf>;

/**
 * Runs steps and choices in order on new slots, by the CPU's sampler unless a team is given. `kept` becomes 1 for what the stages leave of
 * the first logits.
 */
export function runSample(
  vocab: number,
  slots: SlotConfig[],
  steps: (SampleStep | SampleChoice)[],
  options: { threads?: number; isa?: Isa; team?: TeamSize | undefined; kept?: Uint8Array } = {},
): void {
  const { threads = 1, isa = VARIANTS[0]!.isa, team, kept } = options;
  const sampler = team ? { device: "team" as const, ...team } : { threads, ...DEVICE };
  op("sample", { isa, ...sampler }, { vocab, slots, steps, kept });
}

/** One token of one slot, and the tokens that the stages leave. */
export function sampleOne(logits: Float32Array, change: Partial<SlotConfig>, isa?: Isa): { token: number; kept: number[] } {
  const kept = new Uint8Array(logits.length);
  const step = stepOf(logits.length, [{}], logits);
  runSample(logits.length, [plainSlot(change)], [step], isa === undefined ? { kept } : { kept, isa });
  return { token: step.sampled[0]!, kept: [...kept.keys()].filter((i) => kept[i]) };
}
