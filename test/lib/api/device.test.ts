import { describe, expect, test } from "vitest";
import { chooseDevice, type Machine } from "../../../lib/api/device.ts";
import type { EngineOptions } from "../../../lib/api/options.ts";
import type { Parallelism } from "../../../lib/api/parallelism.ts";
import type { CpuDevice } from "../../../lib/native/addon.ts";
import { fakeSource } from "../../support/fake-engine.ts";

const GIB = 2 ** 30;

/** A model of 4 GiB of weights. */
function large() {
  const source = fakeSource();
  source.tensors = [{ name: "embed", file: 0, offset: 0, type: "F16", shape: [2 ** 15, 2 ** 16], plusOne: false }];
  return source;
}

/** GPUs with so many GiB free; -1: a card that this build does not run on. */
function machineOf(...free: number[]): Machine {
  const freeBytes = (index: number): number | undefined => (index < free.length && free[index]! >= 0 ? free[index]! * GIB : undefined);
  return { isas: () => ["portable", "avx2"], gpuCount: () => free.length, gpuFreeBytes: freeBytes };
}

const choose = (options: EngineOptions, machine: Machine) => chooseDevice(options, machine, [large()]);

test("auto is the first GPU with room for the weights, else the CPU", () => {
  expect(choose({}, machineOf()).device.kind).toBe("cpu");
  expect(choose({}, machineOf(-1, 5)).device.kind).toBe("cpu");
  expect(choose({}, machineOf(-1, 3, 20)).device).toEqual({ kind: "cuda", index: 2 });
});

test.each<EngineOptions>([{ device: "cpu" }, { threads: 2 }, { isa: "avx2" }, { compute: "int8" }])("%o is for the CPU", (options) => {
  expect(choose(options, machineOf(80)).device.kind).toBe("cpu");
});

describe("threads of the CPU", () => {
  const threads = (asked: number | undefined, here: Partial<Parallelism>) => {
    const parallelism = (): Parallelism => ({ machine: 128, allowed: 128, cores: 128, quota: undefined, ...here });
    const options = asked === undefined ? {} : { threads: asked };
    const { device, threadsRequested } = choose(options, { ...machineOf(), parallelism });
    return { threads: (device as CpuDevice).threads, requested: threadsRequested };
  };

  test.each<[Partial<Parallelism>, number]>([
    [{}, 64],
    [{ cores: 8 }, 8],
    [{ allowed: 6, cores: 3 }, 3],
    [{ quota: 1.5 }, 2],
    [{ quota: 0.01 }, 1],
  ])("unasked: %o", (here, expected) => expect(threads(undefined, here)).toEqual({ threads: expected, requested: undefined }));

  test.each<[number, Partial<Parallelism>, number]>([
    [100, {}, 100],
    [16, { cores: 8 }, 16],
    [64, { allowed: 2, cores: 1 }, 2],
    [64, { allowed: 8, quota: 3.1 }, 4],
    [1, { quota: 3 }, 1],
  ])("%i asked for: %o", (asked, here, expected) => expect(threads(asked, here)).toEqual({ threads: expected, requested: asked }));
});

test("a GPU gives the cache most of what weights leave", () => {
  expect(choose({ device: "cuda" }, machineOf(15)).cacheBytes.usual).toBe(9 * GIB);
});

test("a GPU that was asked for is never another device: no room is said with the numbers", () => {
  expect(() => choose({ device: "cuda:1" }, machineOf(80, 3))).toThrow(
    expect.objectContaining({ code: "OUT_OF_MEMORY", message: expect.stringContaining(`${3 * GIB} bytes free`) }),
  );
});

test("a GPU that is not there is named, and those that are; where there is none, or it is not for this build, the addon says why", () => {
  for (const [device, code] of [
    ["cuda:7", "UNSUPPORTED_DEVICE"],
    ["cuda:999", "INVALID_ARGUMENT"],
  ] as const) {
    // biome-ignore format: a line
    const message = `device is "${device}"; expected one of cpu, cuda:0, cuda:1`;
    expect(() => choose({ device }, machineOf(80, -1))).toThrow(expect.objectContaining({ code, message }));
  }
  expect(choose({ device: "cuda:1" }, machineOf(80, -1)).device).toEqual({ kind: "cuda", index: 1 });
  expect(choose({ device: "cuda:99" }, machineOf()).device).toEqual({ kind: "cuda", index: 99 });
  expect(() => choose({ device: "cuda:999" }, machineOf())).toThrow('device is "cuda:999"; expected one of cpu');
});

test("no card is touched but those that are asked", () => {
  const asked: number[] = [];
  const machine = machineOf(3, 80, 80);
  const watched = { ...machine, gpuFreeBytes: (index: number) => asked.push(index) && machine.gpuFreeBytes(index) };
  choose({}, watched);
  expect(asked.splice(0)).toEqual([0, 1]);
  choose({ device: "cuda:2" }, watched);
  expect(asked.splice(0)).toEqual([2]);
  choose({ device: "cpu" }, watched);
  expect(asked).toEqual([]);
});
