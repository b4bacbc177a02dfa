// Engines opened and closed 20 times in one process on the first GPU: what each says is the same, and the card has its memory back. Says how the
// process grew, too. After `npm run build:cuda`, with the card to itself: node test/gpu-cycles.mjs [MODEL]
import { execFileSync } from "node:child_process";
import { Engine } from "../dist/index.js";

const CYCLES = 20;
const SETTLED = 3; // cycles until the driver and V8 have what they keep
const MOST_GROWTH_MB = 16;
const PROMPTS = ["Once upon a time", "The old man", "A small fox"];

const query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"];
const cardMB = () => Number(execFileSync("nvidia-smi", query, { encoding: "utf8" }));

async function cycle() {
  const engine = await Engine.open(process.argv[2] ?? "tales", { device: "cuda" });
  const said = await Promise.all(PROMPTS.map((prompt) => engine.generate(prompt, { maxTokens: 24, temperature: 0 })));
  await engine.close();
  return { text: said.map(({ text }) => text).join("\n"), card: cardMB(), process: process.memoryUsage().rss / 1e6 };
}

const cycles = [];
for (let i = 0; i < CYCLES; i++) cycles.push(await cycle());
const [settled, last] = [cycles[SETTLED], cycles.at(-1)];
const same = cycles.every(({ text }) => text === last.text);
for (const where of ["card", "process"])
  console.log(
    `${where.padEnd(8)} after cycle ${SETTLED + 1}: ${settled[where].toFixed(0)} MB, after cycle ${CYCLES}: ${last[where].toFixed(0)} MB`,
  );
console.log(same ? "the same text in every cycle" : "DIFFERENT texts");
const grows = last.card - settled.card > MOST_GROWTH_MB;
if (grows) console.log(`the card's memory GROWS by more than ${MOST_GROWTH_MB} MB`);
process.exit(same && !grows ? 0 : 1);
