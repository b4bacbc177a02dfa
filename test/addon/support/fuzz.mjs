import { addon, randomIntegers, results, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./tiny.mjs";

/**
 * Calls of random arguments, valid ones with one to three places spoiled: `fuzz.mjs WEIGHTS SEED CALLS`. Prints how many were accepted and
 * refused; exits with 1 where one was refused without a code, or where the engine doesn't sample as before.
 */

const [path, seed, calls] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const random = randomIntegers(seed);
const pick = (choices) => choices[random(choices.length)];
const ARRAYS = [Float32Array, Int32Array, Float64Array, Uint8Array, Uint32Array];
const NUMBERS = [
  0,
  1,
  -1,
  2,
  7,
  8,
  15,
  16,
  17,
  95,
  96,
  1023,
  1024,
  2 ** 20,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 31,
  2 ** 32,
  2 ** 53,
  0.5,
  1e-300,
];
const ODD = [
  undefined,
  null,
  true,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  "",
  "F32",
  5n,
  -1n,
  [],
  [1],
  {},
  () => 1,
  new Proxy([], {}),
  new DataView(new ArrayBuffer(8)),
];

function value() {
  const kind = random(4);
  if (kind === 0) return pick(ODD);
  if (kind === 1) return new (pick(ARRAYS))(random(64));
  return pick(NUMBERS);
}

/** Spoils a property, or an element where it is an array. */
function spoil(object) {
  const key = pick(Object.keys(object));
  const own = object[key];
  if (ArrayBuffer.isView(own) && own.length > 0 && random(3) > 0) own[random(own.length)] = pick(NUMBERS);
  else if (ArrayBuffer.isView(own) && random(4) === 0) structuredClone(own.buffer, { transfer: [own.buffer] });
  else if (Array.isArray(own) && typeof own[0] === "object" && random(2) > 0) spoil(own[random(own.length)]);
  else object[key] = value();
  return object;
}

function spoiled(object) {
  for (let i = random(4); i > 0; i--) spoil(object);
  return object;
}

const f32 = (count) => Float32Array.from({ length: count }, () => random(2000) / 500 - 2);
const i32 = (count, below) => Int32Array.from({ length: count }, () => random(below));

function randomStep() {
  const slots = [0, 1, 2, 3, 4, 5, 6, 7].filter(() => random(3) === 0);
  const rows = (slots.length > 0 ? slots : [0]).map((slot) => {
    const tokens = i32(1 + random(24), SHAPE.vocab).map((token) => (random(6) === 0 ? -1 : token));
    const output = random(4);
    const outputs = output === 1 ? 1 + random(tokens.length) : undefined;
    return {
      slot,
      start: random(60),
      tokens,
      output,
      outputs,
      next: random(SHAPE.vocab + 1) - 1,
      wantLogits: output === 3 && random(2) === 0,
    };
  });
  return stepBuffers(rows);
}

function randomSlot() {
  const tokens = i32(random(20), SHAPE.vocab);
  const biases = random(5);
  return slotConfig({
    temperature: random(3) / 2,
    topK: random(5),
    topP: random(11) / 10,
    minP: random(11) / 10,
    typicalP: random(11) / 10,
    repetitionPenalty: 1 + random(3) / 4,
    frequencyPenalty: random(3) - 1,
    biasTokens: i32(biases, SHAPE.vocab),
    biasValues: Float64Array.from(f32(biases)),
    minTokens: random(5),
    endTokens: i32(random(3), SHAPE.vocab),
    logprobs: random(22) - 1,
    tokens,
    promptLength: random(tokens.length + 1),
  });
}

const CALLS = [
  (engine) => engine.step(spoiled(randomStep())),
  (engine) => engine.setSlot(random(5) === 0 ? value() : random(8), spoiled(randomSlot())),
  (engine) => {
    const logits = random(4) === 0 ? value() : f32(SHAPE.vocab);
    return engine.choose(random(5) === 0 ? value() : random(8), logits, random(4) === 0 ? value() : spoiled(results(1)));
  },
];

/** What a slot samples that nothing has touched. */
async function canary(engine) {
  engine.setSlot(7, slotConfig());
  const step = stepBuffers([{ slot: 7, start: 0, tokens: [1, 2, 3, 4], output: 1 }]);
  await engine.step(step);
  return step.sampled[0];
}

const engine = new addon.Engine(tinyConfig(path));
await engine.load(() => {});
const expected = await canary(engine);
const counts = { accepted: 0, refused: 0, wrong: 0 };
for (let i = 0; i < calls; i++) {
  try {
    await pick(CALLS)(engine);
    counts.accepted++;
  } catch (error) {
    if (typeof error?.code === "string" && /^[A-Z_]{6,}$/.test(error.code)) counts.refused++;
    else {
      counts.wrong++;
      console.error(error);
    }
  }
  if (i % 200 === 0 && (await canary(engine)) !== expected) throw new Error(`call ${i} changed what the engine samples`);
}
if ((await canary(engine)) !== expected) throw new Error("the calls changed what the engine samples");
await engine.close();
console.log(JSON.stringify(counts));
process.exitCode = counts.wrong === 0 ? 0 : 1;
