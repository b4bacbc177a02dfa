// Speculation against none, in the same process: npm run bench:speculate [-- --only draft] [-- --rounds 3] [-- --device cuda] [-- --commit]
// Writes .cache/results/speculate.json, or speculate-gpu.json, with --commit in bench/results/; see bench/README.md for the method.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { createEngine } from "../../dist/engine.js";
import { native } from "../../dist/native/addon.js";
import { openParts } from "../../dist/run/parts.js";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { makeModel } from "../support/make-model.mjs";
import { Pattern } from "../support/pattern.mjs";
import { printCase, writeResults } from "../support/report.mjs";
import { prompt } from "../support/streams.mjs";

const { values: options } = parseArgs({
  options: { ...OPTIONS, rounds: { type: "string", default: "3" }, device: { type: "string", default: "cpu" } },
});
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const TOKENS = 96; // of each request, after a prompt of PROMPT that is cached
const PROMPT = 16;
const LEAST_MS = 8000; // of rounds, for each batch

/** All requests at once: what they got, and milliseconds. */
async function timed(engine, batch, temperature) {
  const params = { temperature, ignoreEos: true, maxTokens: TOKENS };
  const prompts = Array.from({ length: batch }, (_, i) => prompt(PROMPT, i));
  await Promise.all(prompts.map((ids) => engine.generate(ids, { ...params, maxTokens: 1 })));
  const start = performance.now();
  const completions = await Promise.all(prompts.map((ids, seed) => engine.generate(ids, { ...params, seed })));
  const ms = performance.now() - start;
  return { ms, completions, wholes: completions.map(({ tokens }, i) => [...prompts[i], ...tokens]) };
}

/** An engine that guesses; with a rate, the guesses are replaced by those of a pattern over what is `known`. */
async function openGuessing(model, speculate, rate, known) {
  const parts = await openParts(model, { ...engineOptions, speculate }, native());
  const trial = rate === undefined ? {} : { trial: { wrap: (proposer) => new Pattern(proposer, rate, known) } };
  return createEngine({ ...parts, ...trial });
}

const engineOptions = { device: options.device, maxContext: 1024 };

/** One after the other, then the other way round: what drifts meanwhile cancels out. Milliseconds of both turns of each. */
async function inTurns(plain, guessing) {
  const ms = { plain: 0, guessing: 0 };
  let last;
  for (const [name, turn] of [
    ["plain", plain],
    ["guessing", guessing],
    ["guessing", guessing],
    ["plain", plain],
  ]) {
    const done = await turn();
    ms[name] += done.ms;
    if (name === "guessing") last = done;
  }
  return { ms, completions: last.completions };
}

/**
 * Each batch without and with guesses, after a turn that warms up: at least so many rounds of two turns each, and LEAST_MS, as turns of tiny
 * models differ by a sixth. The ratio is the median of the rounds'. The tokens have to be the same.
 */
async function compare({ model, speculate, rate, batches, temperature = 0 }) {
  const known = [];
  const [plain, guessing] = [
    createEngine(await openParts(model, engineOptions, native())),
    await openGuessing(model, speculate, rate, known),
  ];
  const figures = {};
  for (const batch of batches) {
    const turn = async (engine) => {
      const done = await timed(engine, batch, temperature);
      if (known.length === 0) known.push(...done.wholes);
      if (JSON.stringify(done.wholes) !== JSON.stringify(known)) throw new Error(`batch ${batch}: other tokens than without guesses`);
      return done;
    };
    known.length = 0;
    await turn(plain);
    await turn(guessing);
    const rounds = [];
    for (const end = performance.now() + LEAST_MS; rounds.length < Number(options.rounds) || performance.now() < end; )
      rounds.push(
        await inTurns(
          () => turn(plain),
          () => turn(guessing),
        ),
      );
    figures[`batch${batch}`] = figuresOf(rounds, batch);
  }
  await Promise.all([plain.close(), guessing.close()]);
  return figures;
}

function figuresOf(rounds, batch) {
  const sum = (field) => rounds.at(-1).completions.reduce((total, { usage }) => total + usage[field], 0);
  const speed = (name) => (2 * batch * TOKENS * 1000) / median(rounds.map(({ ms }) => ms[name]));
  return {
    plain: speed("plain"),
    guessing: speed("guessing"),
    ratio: median(rounds.map(({ ms }) => ms.plain / ms.guessing)),
    drafted: sum("draftedTokens"),
    accepted: sum("acceptedTokens"),
  };
}

const LARGE = () => makeModel("llama-3.2-1b-49k");
const SMALL = () => makeModel("smollm2-135m");
const tales = at("../../../shared/models/tales/tales-q8_0.gguf");
const talesDraft = at("../../../shared/models/tales-draft/tales-draft-bf16.gguf");
const atLeast = (bars) => Object.fromEntries(Object.entries(bars).map(([batch, ratio]) => [`${batch}.ratio`, [">=", ratio]]));
const never = atLeast({ batch1: 0.97, batch8: 0.97, batch32: 0.97 });
const all = [1, 8, 32];

/** What is measured, and the bars of the ratios: on the CPU, and on a GPU, where models are larger. */
const ON_CPU = {
  "draft 135m for 1b q8_0, acceptance 0.75": {
    run: async () => compare({ model: await LARGE(), speculate: { draft: await SMALL() }, rate: 0.75, batches: [1, 8] }),
    bars: atLeast({ batch1: 1.5, batch8: 1.1 }),
  },
  "lookup 1b q8_0, acceptance 0.9": {
    run: async () => compare({ model: await LARGE(), speculate: { lookup: true }, rate: 0.9, batches: [1, 8] }),
    bars: atLeast({ batch1: 2.5 }),
  },
  "draft 135m for 1b q8_0, acceptance 0": {
    run: async () => compare({ model: await LARGE(), speculate: { draft: await SMALL() }, rate: 0, batches: all }),
    bars: never,
  },
  "lookup 1b q8_0, acceptance 0": {
    run: async () => compare({ model: await LARGE(), speculate: { lookup: true }, rate: 0, batches: all }),
    bars: never,
  },
  ...(existsSync(tales) && {
    "tales-draft for tales q8_0": { run: () => compare({ model: tales, speculate: { draft: talesDraft }, batches: all }), bars: never },
    "tales-draft for tales q8_0, acceptance 0": {
      run: () => compare({ model: tales, speculate: { draft: talesDraft }, rate: 0, batches: all }),
      bars: never,
    },
    "lookup tales q8_0": { run: () => compare({ model: tales, speculate: { lookup: true }, batches: all, temperature: 0.7 }), bars: never },
  }),
};

const EIGHT = (type) => makeModel("llama-3.1-8b", type);
const draftedByOne = async (rate) => {
  const draft = await makeModel("llama-3.2-1b", "q4_k");
  return compare({ model: await EIGHT("q4_k"), speculate: { draft }, rate, batches: [1, 16, 128] });
};
const ON_GPU = {
  "draft 1b for 8b q4_k, acceptance 0.75": {
    run: () => draftedByOne(0.75),
    bars: atLeast({ batch1: 1.6, batch16: 1.2, batch128: 0.98 }),
  },
  "lookup 8b bf16, acceptance 0.9": {
    run: async () => compare({ model: await EIGHT("bf16"), speculate: { lookup: true }, rate: 0.9, batches: [1] }),
    bars: atLeast({ batch1: 4 }),
  },
  "draft 1b for 8b q4_k, acceptance 0": {
    run: () => draftedByOne(0),
    bars: atLeast({ batch1: 0.97, batch16: 0.97, batch128: 0.97 }),
  },
  "lookup 8b bf16, acceptance 0": {
    run: async () => compare({ model: await EIGHT("bf16"), speculate: { lookup: true }, rate: 0, batches: [1, 16, 128] }),
    bars: atLeast({ batch1: 0.97, batch16: 0.97, batch128: 0.97 }),
  },
};

const CASES = options.device === "cpu" ? ON_CPU : ON_GPU;
const chosen = chooseCases(Object.keys(CASES), options.only);
const about = { command: "npm run bench:speculate", device: options.device };
for (const name of chosen) {
  const { run, bars } = CASES[name];
  const figures = await run();
  printCase(name, figures, bars);
  writeResults(options.device === "cpu" ? "speculate" : "speculate-gpu", options, about, { [name]: figures }); // kept, whatever the next one does
}
