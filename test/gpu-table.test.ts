import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "./support/sources.ts";
import { temporaryDirectory } from "./support/temporary.ts";

const folder = temporaryDirectory();

/** A file of results, as bench:gpu writes it, with one case. */
function results(name: string, figures: object): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify({ cases: { "small q8_0": { figures, measured: { gpu: { name: "a GPU" } } } } }));
  return path;
}

it("the GPU workflow's table tells what became better and what worse, and what the base lacks", () => {
  const base = results("base.json", { decode: { batch1: 1000, batch8: 5000 }, firstTokenSeconds: 2 });
  const head = results("head.json", { decode: { batch1: 1100, batch8: 4500, batch32: 9000 }, firstTokenSeconds: 1 });
  const table = execFileSync(process.execPath, [join(ROOT, "bench/gpu/table.mjs"), base, head], { encoding: "utf8" });
  expect(table.trimEnd().split("\n")).toEqual([
    "a GPU: tokens per second, and seconds to the first token, before and after",
    "",
    "| case | figure | base | this | better by |",
    "|---|---|---:|---:|---:|",
    "| small q8_0 | decode.batch1 | 1,000 | 1,100 | 10.0 % :white_check_mark: |",
    "| small q8_0 | decode.batch8 | 5,000 | 4,500 | -10.0 % :small_red_triangle_down: |",
    "| small q8_0 | decode.batch32 | | 9,000 | |",
    "| small q8_0 | firstTokenSeconds | 2 | 1 | 100.0 % :white_check_mark: |",
  ]);
});
