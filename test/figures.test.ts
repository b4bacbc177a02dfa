import { describe, expect, it } from "vitest";
import { drawResults } from "../bench/chart/figures.mjs";
import { chart } from "../bench/chart/svg.mjs";
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

  it("the chart is drawn from bench/results (npm run bench:chart)", () => {
    expect(read("bench/figures.svg")).toBe(drawResults());
  });
});
