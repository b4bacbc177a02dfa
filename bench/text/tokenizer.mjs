// Encoding of a 1 MB text on one thread, against @huggingface/tokenizers in the same run: node bench/text/tokenizer.mjs [DIRECTORY]
// After `npm run build`. DIRECTORY has a tokenizer.json; without it, the bundled model's vocabulary and no peer, which reads no GGUF.
// Megabytes of UTF-8 by the median of several turns, kvasir and the peer by turns; the text's words are in no cache of the first turn.
// Then texts that nothing splits, of a million characters each, in milliseconds.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tokenizer as Peer } from "@huggingface/tokenizers";
import { openCodec } from "../../dist/text/tokenizer/source.js";
import { printCase } from "../support/report.mjs";

const ROUNDS = 7;
const PLAIN = { addSpecial: false, parseSpecial: true };

const [directory] = process.argv.slice(2);
const bundled = fileURLToPath(new URL("../../models/tales-q4_0.gguf", import.meta.url));
const codec = await openCodec(directory === undefined ? { kind: "gguf", path: bundled } : { kind: "huggingface", directory });
const peer = directory === undefined ? undefined : new Peer(JSON.parse(readFileSync(join(directory, "tokenizer.json"), "utf8")), {});

/** A megabyte of this repository's prose and code, again and again with other numbers in it. */
function megabyte() {
  const names = ["README.md", "TOUR.md", "CONTRIBUTING.md", "lib/engine.ts", "native/engine/engine.cc", "bench/README.md"];
  const source = names.map((name) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8")).join("\n");
  let text = "";
  for (let i = 0; text.length < 1e6; i++) text += source.replaceAll(/\d+/g, (number) => String(Number(number) + i));
  return text.slice(0, 1e6);
}

function milliseconds(run) {
  const start = performance.now();
  run();
  return performance.now() - start;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

function speeds(text) {
  const times = { kvasir: [], peer: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.kvasir.push(milliseconds(() => codec.encode(text, PLAIN)));
    if (peer !== undefined) times.peer.push(milliseconds(() => peer.encode(text, { add_special_tokens: false })));
  }
  const megabytes = Buffer.byteLength(text) / 1e6;
  const perSecond = (values) => (megabytes / median(values)) * 1000;
  const first = (megabytes / times.kvasir[0]) * 1000;
  const figures = { "MB/s at first": first, "MB/s": perSecond(times.kvasir) };
  return peer === undefined ? figures : { ...figures, "peer MB/s": perSecond(times.peer) };
}

printCase("a text of 1 MB, one thread", speeds(megabyte()), { "MB/s": [">=", 5] });

const units = { spaces: " ", letters: "a", "line ends": "\n", han: "語", emoji: "🙂", accents: "e\u0301" };
const unsplit = Object.entries(units).map(([name, unit]) => {
  const text = unit.repeat(1e6 / unit.length);
  return [`${name}, ms`, milliseconds(() => codec.encode(text, PLAIN))];
});
const bars = Object.fromEntries(unsplit.map(([name]) => [name, ["<=", 1000]]));
printCase("a million characters that nothing splits", Object.fromEntries(unsplit), bars);
