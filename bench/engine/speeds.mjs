// Measures the cells of the table of speeds.
import { measureCeilings } from "../support/ceilings.mjs";
import { makeModel } from "../support/make-model.mjs";
import { batchSpeeds } from "./batches.mjs";
import { boundOf, isCompared, isMeasuredBy, LONG, SHORT } from "./cells.mjs";
import { compare, takeTurns } from "./turns.mjs";

/** Decoded tokens of each stream a run: after a long context a step takes a second where 32 streams read it. */
const TOKENS = { [SHORT]: 32, [LONG]: 8 };

/** Cells in groups, each measured at once: a prompt and one stream after it, by all engines; several streams after contexts of one length. */
export function groupsOf(cells) {
  const groups = new Map();
  for (const cell of cells) {
    const key = [cell.model, cell.type, isCompared(cell), cell.prompt ?? cell.context].join();
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  return [...groups.values()];
}

/** The figures of a group's cells, and the ceilings around them, the higher ones of before and after: a shared host gives now more, now less. */
export async function measureGroup(cells, threads, rounds) {
  const path = await makeModel(cells[0].model, cells[0].type);
  const before = measureCeilings(threads);
  const speeds = isCompared(cells[0]) ? compareSpeeds(path, cells, rounds) : await ownSpeeds(path, cells, threads);
  const after = measureCeilings(threads);
  const ceilings = Object.fromEntries(Object.entries(before).map(([name, value]) => [name, Math.max(value, after[name])]));
  return { ceilings, figures: cells.map((cell, i) => ({ tokensPerSecond: speeds[i], ...boundOf(cell, speeds[i].kvasir, ceilings) })) };
}

function compareSpeeds(path, cells, rounds) {
  const [{ prompt, context }] = cells;
  const tokens = cells.some(({ kind }) => kind === "decode") ? TOKENS[SHORT] : 1;
  const kind = ["decode", prompt ?? context, tokens];
  const turns = takeTurns(path, rounds, kind, (engine) => cells.some((cell) => isMeasuredBy(engine, cell)));
  return cells.map(({ kind }) => compare(turns, kind === "decode" ? "tokensPerSecond" : "promptTokensPerSecond", Math.max));
}

async function ownSpeeds(path, cells, threads) {
  const [{ context }] = cells;
  const load = { context, shared: context === LONG, batches: cells.map(({ batch }) => batch), tokens: TOKENS[context] };
  return (await batchSpeeds(path, threads, load)).map((kvasir) => ({ kvasir }));
}
