import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import type { EngineOptions } from "../../../lib/api/options.ts";
import type { Isa } from "../../../lib/native/addon.ts";
import { ISAS, withEngine } from "../../e2e/support/engines.ts";
import { ARITHMETICS, expectSame, randomRequests } from "../../e2e/support/same.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";

/**
 * Fingerprints of the engine's bits: for each model, instruction set, arithmetic and type of cache a hash of logits, tokens and
 * log-probabilities. Whatever way a request is run (alone, batched, chunked at 7, preempted, from the prefix cache) has to give what the
 * committed hash was made of. `KVASIR_WRITE_BITS=1 npm run test:bits` writes the hashes anew: for a change that alters bits on purpose. The
 * models are shared out among test files, which run two at a time; those that write run one after the other (vitest.bits.config.ts).
 */
const FILE = new URL("../fingerprints.json", import.meta.url);
const WRITE = process.env.KVASIR_WRITE_BITS === "1";

type Fingerprints = Record<string, Record<string, string>>;

/** A model, by its path in the reference material, and how many random requests it is asked. */
interface Model {
  path: string;
  requests: number;
}

const COMPUTES = ["f32", "bf16", "int8"] as const;
const KV_TYPES = ["f32", "f16", "bf16"] as const;
const VARIANTS: EngineOptions[] = COMPUTES.flatMap((compute) => KV_TYPES.map((kvType) => ({ compute, kvType })));

/**
 * The portable kernels take most of the time: there each arithmetic and each type of cache once. avx512_bf16 is avx512 but for bf16; so is amx,
 * whose bfloat16 products have no fingerprints yet.
 */
function variantsOf(isa: Isa): readonly EngineOptions[] {
  if (isa === "avx512_bf16") return [{ compute: "bf16", kvType: "f16" }];
  if (isa === "amx") return VARIANTS.filter(({ compute, kvType }) => compute !== "bf16" && kvType === "f16");
  return isa === "portable" ? ARITHMETICS : VARIANTS;
}

/** Pages of each cache group that are too few for all requests at once. */
const FEW_PAGES = 8;

async function fingerprint(path: string, requests: number, options: EngineOptions): Promise<string> {
  const model = sharedPath(path);
  const hash = createHash("sha256");
  const { vocabSize, smallCache } = await withEngine(model, { ...options, threads: 1 }, async (engine) => {
    const scored = await engine.score(
      Array.from({ length: 37 }, (_, i) => 3 + ((i * 29) % 200)),
      { logits: true },
    );
    hash.update(new Uint8Array(scored.logits!.buffer)).update(new Uint8Array(scored.logprobs.buffer));
    const pageBytes = engine.stats().groups.reduce((sum, group) => sum + group.pageBytes, 0);
    return { vocabSize: scored.logits!.length / 37, smallCache: FEW_PAGES * pageBytes };
  });
  const outcomes = await expectSame(model, randomRequests(requests, vocabSize, 60, 1), smallCache, options);
  const bits = outcomes.map(({ tokens, logprobs, finishReason }) => ({ tokens, logprobs, finishReason }));
  return hash.update(JSON.stringify(bits)).digest("hex").slice(0, 16);
}

/** The tests of some models. */
export function testFingerprints(models: readonly Model[]): void {
  const committed = readCommitted();
  const found: Fingerprints = {};

  describe.skipIf(!hasShared).each(models)("$path", ({ path, requests }) => {
    test.each(ISAS)("%s", async (isa) => {
      const place = `${path}, ${isa === "amx" ? "avx512" : isa}`;
      const hashes: Record<string, string> = {};
      for (const options of variantsOf(isa)) {
        hashes[`${options.compute}, kv ${options.kvType}`] = await fingerprint(path, requests, { ...options, isa });
      }
      found[place] = { ...found[place], ...hashes };
      if (!WRITE) expect(committed[place]).toMatchObject(hashes);
    });
  });

  afterAll(() => {
    if (WRITE) write(found);
  });
}

function readCommitted(): Fingerprints {
  return existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) : {};
}

/** What was found, in its place or at the end; all else stays. */
function write(found: Fingerprints): void {
  const committed = readCommitted();
  const hashes = Object.entries(found).map(([place, now]) => [place, { ...committed[place], ...now }]);
  writeFileSync(FILE, `${JSON.stringify({ ...committed, ...Object.fromEntries(hashes) }, undefined, 1)}\n`);
}
