import { describe, expect, it } from "vitest";
import { drawResults } from "../bench/chart/figures.mjs";
import { drawSpeeds } from "../bench/chart/speeds.mjs";
import { chart } from "../bench/chart/svg.mjs";
import { boundOf, CELLS, costOf } from "../bench/engine/cells.mjs";
import { table as speeds } from "../bench/engine/table.mjs";
import { table } from "../bench/side-by-side/table.mjs";
import { read } from "./support/sources.ts";

describe("figures for readers", () => {
  it("the side-by-side table has a column for each engine, and says which is not installed", () => {
    const kvasir = {
      version: "0.1.0",
      installSeconds: 1.234,
      installedMB: 25.04,
      firstTokenMs: 375.6,
      peakMB: 301,
      tokensPerSecond: 304.7,
    };
    const peer = { ...kvasir, version: "3.22.1", installedMB: 725.4, tokensPerSecondOf32: 1626 };
    expect(table({ kvasir, "node-llama-cpp": peer }).split("\n")).toEqual([
      "|  | kvasir 0.1.0 | node-llama-cpp 3.22.1 | @fugood/llama.node: not installed |",
      "| --- | ---: | ---: | ---: |",
      "| installed, MB | 25 | 725 |  |",
      "| `npm install` from npm's cache, s | 1.23 | 1.23 |  |",
      "| process start to first token, ms | 376 | 376 |  |",
      "| peak resident memory, 1 stream, MB | 301 | 301 |  |",
      "| 1 stream, tokens/s | 305 | 305 |  |",
      "| 32 streams, tokens/s |  | 1,630 |  |",
    ]);
  });

  it("bars are as long as their values, the first highlighted, and text is escaped", () => {
    const svg = chart([
      {
        title: "a < b & c",
        bars: [
          { label: "one", value: 50 },
          { label: "two", value: 100 },
        ],
      },
    ]);
    expect(svg).toContain("a &lt; b &amp; c");
    const widths = [...svg.matchAll(/<rect class="(\w+)".*? width="(\d+)"/g)].map(([, name, width]) => [name, Number(width)] as const);
    expect(widths.map(([name]) => name)).toEqual(["own", "other"]);
    expect(2 * widths[0]![1]).toBe(widths[1]![1]);
  });

  it("bars that are a project's own are highlighted where they say so, and a row is as high as its fuller panel", () => {
    const bars = (count: number) => Array.from({ length: count }, (_, i) => ({ label: "", value: 1, own: i % 2 === 0 }));
    const svg = chart([1, 3, 2].map((count) => ({ title: "", bars: bars(count) })));
    expect([...svg.matchAll(/<rect class="(\w+)"/g)].map(([, name]) => name)).toEqual(["own", "own", "other", "own", "own", "other"]);
    const places = [...svg.matchAll(/translate\((\d+) (\d+)\)/g)].map(([, x, y]) => [Number(x), Number(y)]);
    const [, right, below] = places;
    expect(places).toEqual([
      [0, 0],
      [right![0], 0],
      [0, below![1]],
    ]);
    expect(Number(/height="(\d+)"/.exec(svg)![1])).toBe(2 * below![1]! - 21);
  });

  it("the charts are drawn from bench/results (npm run bench:chart)", () => {
    expect(read("bench/figures.svg")).toBe(drawResults());
    expect(read("bench/cpu.svg")).toBe(drawSpeeds());
  });
});

describe("the table of speeds", () => {
  const cellOf = (name: string) => CELLS.find((cell) => cell.name === name)!;
  const ceilings = { readGBs: 20, fmaGops: 200, bf16Gops: 400, int8Gops: 800 };

  it("has every shape, type and work, but for what is left out", () => {
    expect(new Set(CELLS.map(({ name }) => name)).size).toBe(CELLS.length);
    expect(CELLS.length).toBe(3 * 4 * (4 * 2 + 2) - 4 * 4 - 2 * 4);
  });

  it("counts a step's bytes and operations from the shape", () => {
    const kv = 30 * 2 * 3 * 64 * 2; // of a token, in float16
    const linears = 30 * (576 * (2 * 576 + 2 * 192) + 3 * 576 * 1536);
    const head = 49152 * 576;
    expect(costOf(cellOf("decode smollm2-135m bf16 batch 8 context 128"))).toEqual({
      tokens: 8,
      bytes: 2 * (linears + head) + 8 * 128 * kv,
      operations: { matmuls: 8 * 2 * (linears + head), attention: 8 * 128 * 4 * 576 * 30 },
    });
    // One context that all streams share.
    expect(costOf(cellOf("decode smollm2-135m q8_0 batch 32 context 8192")).bytes).toBe(((linears + head) * 34) / 32 + 8192 * kv);
    // The output layer takes the last token alone; a token's attention those before it and itself.
    expect(costOf(cellOf("prefill smollm2-135m q8_0 prompt 512")).operations).toEqual({
      matmuls: 2 * (512 * linears + head),
      attention: ((512 * 513) / 2) * 4 * 576 * 30,
    });
    // Of the matrices with rows of 576 none can be in q4_k, whose blocks are of 256: 5 bits, as llama.cpp has them.
    const down = 30 * 576 * 1536;
    const q4k = costOf(cellOf("prefill smollm2-135m q4_k prompt 128"));
    expect(q4k.bytes).toBe(((linears + head - down) * 22) / 32 + (down * 144) / 256);
  });

  it("names what bounds a cell, and takes the highest ceiling of the arithmetic", () => {
    const decode = cellOf("decode llama-3.2-1b bf16 batch 1 context 128");
    const { bytes } = costOf(decode);
    expect(boundOf(decode, 4, ceilings)).toEqual({ GBs: (4 * bytes) / 1e9, ofCeiling: expect.closeTo((4 * bytes) / 20e9, 9) });
    const prefill = cellOf("prefill llama-3.2-1b q8_0 prompt 512");
    const { matmuls, attention } = costOf(prefill).operations;
    const seconds = 512 / 250;
    expect(boundOf(prefill, 250, ceilings)).toEqual({
      Gops: expect.closeTo((matmuls + attention) / 1e9 / seconds, 6),
      ofCeiling: expect.closeTo((matmuls / 800e9 + attention / 400e9) / seconds, 9),
    });
    const { ofCeiling } = boundOf(prefill, 250, { ...ceilings, amxInt8Gops: 8000, amxBf16Gops: 4000 });
    expect(ofCeiling).toBeCloseTo((matmuls / 8000e9 + attention / 4000e9) / seconds, 9);
    expect(boundOf(prefill, 250, { readGBs: 20, fmaGops: 200, bf16Gops: 0, int8Gops: 0 }).ofCeiling).toBeCloseTo(
      (matmuls + attention) / 200e9 / seconds,
      9,
    );
  });

  it("has a row for each cell that was measured, and says what is missing", () => {
    const measured = { processor: "a processor", threads: 2, date: "2026-01-02", commit: "abc", ceilings: { readGBs: 20, int8Gops: 0 } };
    const compared = { kvasir: 60, "node-llama-cpp": 40, "@fugood/llama.node": "not installed", ratio: 1.5 };
    const lines = speeds({
      "decode qwen3-0.6b q4_k batch 1 context 128": { figures: { tokensPerSecond: compared, GBs: 19.87, ofCeiling: 0.9935 }, measured },
      "prefill smollm2-135m bf16 prompt 512": {
        figures: { tokensPerSecond: { kvasir: 1234 }, Gops: 321, ofCeiling: 0.8 },
        measured: { ...measured, ceilings: { readGBs: 25, int8Gops: 0 } },
      },
      "fairness smollm2-135m q8_0": { figures: {}, measured: {} },
    }).split("\n");
    expect(lines.slice(0, 8)).toEqual([
      "| shape | weights | work | tokens/s | GB/s | Gop/s | of the ceiling | node-llama-cpp | @fugood/llama.node | to the best of these |",
      "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
      "| smollm2-135m | bf16 | prompt of 512 | 1,230 |  | 321 | 80 % |  |  |  |",
      "| qwen3-0.6b | q4_k | 1 stream after 128 | 60 | 19.9 |  | 99 % | 40 | not installed | 1.5 |",
      "",
      "- a processor, 2 threads, 2026-01-02, commit abc",
      "- ceilings, measured before and after each group of cells: readGBs 20 to 25",
      "- left out: model llama-3.2-1b, context 8192: its context is 8,192 tokens, prompt and output",
    ]);
    expect(lines.at(-1)).toBe(`- not measured: ${CELLS.length - 2} of ${CELLS.length} cells`);
  });
});
