import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ErrorCode } from "../../lib/errors.ts";
import type { DeviceConfig, Isa, NativeConfig, NativeModule } from "../../lib/native/addon.ts";

/** The ops of native/ops/. */
export type OpName = "add_norm" | "attention" | "embed" | "gather_rows" | "matmul" | "qk_rope_append" | "sample" | "scale_logits";

/** How an op runs. */
export interface OpOptions {
  isa: Isa;
  threads: number;
  repeat?: number;
  /** For `sample` alone: the first GPU, or its stages on the host, by `blocks` blocks of `threads` threads. */
  device?: "cuda" | "team";
  blocks?: number;
}

/** The addon of the tests: what the shipped one exports, whose engines also take a device of kind "device", and more. */
export interface TestModule extends NativeModule {
  /**
   * One op of the CPU back end on the caller's arrays. A matrix among `args` is a Float32Array, or `{ data, stride }` with `stride`
   * elements from a row to the next; `args.step` has the arrays of StepBuffers that the op needs, and may ask for `padding`.
   * `options.repeat` runs it again for timing; the returned `seconds` are the fastest run's.
   */
  op(name: OpName, options: OpOptions, args: Record<string, unknown>): { seconds: number };
  /** This thread rounds upward and takes subnormal numbers for 0 from now on, as another addon of the host may leave it. */
  spoilFloats(): void;
  /** The n-th op from now on, of any device-like back end of the process, fails with `code`: OUT_OF_MEMORY, or INTERNAL. */
  failOp(n: number, code: ErrorCode): void;
  /** Likewise of the events that mark where a step ends. */
  failRecord(n: number, code: ErrorCode): void;
  /** Ops that device-like back ends have run so far. */
  opsRun(): number;
  /** Parts of steps that they have recorded so far. */
  recordings(): number;
  /** Reads at a device's address as the engine must not: ends the process. */
  dereference(): number;
}

const root = process.env.KVASIR_PREBUILD ?? fileURLToPath(new URL("../..", import.meta.url));

/** The addon of the tests, from where KVASIR_PREBUILD says or from this checkout. */
export const testAddon = createRequire(import.meta.url)(join(root, "build/Release/test/kvasir_test.node")) as TestModule;

/** The same with engines on another device than they ask for. */
function withDevice(device: Record<string, unknown>): NativeModule {
  const place = (config: NativeConfig): NativeConfig => ({ ...config, device: { ...config.device, ...device } as unknown as DeviceConfig });
  return {
    ...testAddon,
    Engine: class extends testAddon.Engine {
      constructor(config: NativeConfig) {
        super(place(config));
      }
    },
  };
}

/** Engines on the back end that behaves like a device. */
export const deviceAddon: NativeModule = withDevice({ kind: "device" });

/** Engines on the first GPU. */
export const cudaAddon: NativeModule = withDevice({ kind: "cuda", index: 0 });
