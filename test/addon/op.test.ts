import { describe, expect, it } from "vitest";
import { testAddon } from "../support/addon.ts";
import { codeOf, detached, spoil, THROWN, thrownBy, WRONG } from "./support/wrong.ts";

const OPTIONS = { isa: "portable", threads: 1 } as const;

/** Arguments of add_norm. */
const make = (rows = 2, cols = 4) => ({
  rows,
  cols,
  epsilon: 1e-6,
  x: new Float32Array(rows * cols),
  y: new Float32Array(rows * cols),
  weight: new Float32Array(cols),
});

describe("op", () => {
  it("refuses wrong names, options and arguments", async () => {
    testAddon.op("add_norm", OPTIONS, make());
    for (const name of [...WRONG, "subtract"])
      expect(await codeOf(() => testAddon.op(name as never, OPTIONS, make()))).toBe("INVALID_ARGUMENT");
    await spoil(
      () => OPTIONS,
      ["isa", "threads"],
      (wrong) => testAddon.op("add_norm", wrong, make()),
    );
    await spoil(make, ["rows", "cols", "x"], (wrong) => testAddon.op("add_norm", OPTIONS, wrong));
    await spoil(make, ["weight", "norm"], (wrong) => testAddon.op("add_norm", OPTIONS, wrong), [undefined]);
    const huge = { ...make(), rows: 2 ** 30, cols: 2 ** 30 };
    expect(await codeOf(() => testAddon.op("add_norm", OPTIONS, huge))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => testAddon.op("add_norm", OPTIONS, { x: { x: { x: { x: { x: 1 } } } } }))).toBe("INVALID_ARGUMENT");
  });

  it("runs no getter between looking at an array and using it", async () => {
    const args = make(1, 1 << 20);
    const trap = {
      ...args,
      get y() {
        detached(args.x);
        return args.y;
      },
    };
    expect(await codeOf(() => testAddon.op("add_norm", OPTIONS, trap))).toBe("INVALID_ARGUMENT");
  });

  it("hands on what JavaScript throws as it is", async () => {
    for (const value of THROWN) {
      expect(await thrownBy(make, "x", value, (args) => testAddon.op("add_norm", OPTIONS, args))).toEqual([value, value]);
      expect(
        await thrownBy(
          () => OPTIONS,
          "threads",
          value,
          (options) => testAddon.op("add_norm", options, make()),
        ),
      ).toEqual([value, value]);
    }
  });
});
