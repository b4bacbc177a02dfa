import { mostThreads, type Parallelism, usualThreads } from "../../api/parallelism.ts";
import { counted } from "../../errors.ts";
import type { Isa, NativeModule } from "../../native/addon.ts";
import type { Finding } from "./finding.ts";
import type { System } from "./system.ts";

/** What each instruction set needs of the processor, by the kernel's names (native/cpu/features.cc asks the processor itself). */
const FEATURES: Readonly<Record<Isa, readonly string[]>> = {
  portable: [],
  avx2: ["avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm"],
  avx512: ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"],
  avx512_bf16: ["avx512_bf16"],
  amx: ["amx_tile", "amx_int8", "amx_bf16"],
};

/** Which instruction sets the processor runs, and which is used. */
export function checkProcessor({ processor, platform }: System, module: NativeModule): Finding {
  const { name, parallelism, flags } = processor;
  const isas = module.isas();
  const used = isas.at(-1)!;
  const isX64 = platform.endsWith("-x64");
  const lacks = Object.values(FEATURES).flatMap((features) => features.filter((feature) => !flags.has(feature)));
  const why =
    used.startsWith("avx512") || !isX64 || lacks.length === 0 ? `of ${isas.join(", ")}, which it runs` : `it lacks ${lacks.join(", ")}`;
  const isSlow = isX64 && used === "portable";
  return {
    name: "processor",
    state: isSlow ? "warning" : "ok",
    text: `${name}, ${showThreads(parallelism)}; uses ${used}: ${why}`,
    ...(isSlow && { cure: "expect a fraction of the speed; in a virtual machine, pass the host's processor on (AVX2)" }),
    facts: {
      name,
      threads: mostThreads(parallelism),
      usualThreads: usualThreads(parallelism),
      parallelism,
      used,
      isas,
      lacks: isX64 ? lacks : [],
    },
  };
}

/** Threads that run at once, and what keeps others from it. */
function showThreads(parallelism: Parallelism): string {
  const { machine, allowed, quota } = parallelism;
  const most = mostThreads(parallelism);
  const limits = [
    ...(allowed < machine ? [`affinity allows ${allowed}`] : []),
    ...(quota !== undefined && most < allowed ? [`the control group ${Number(quota.toFixed(2))}`] : []),
  ];
  return limits.length === 0 ? counted(most, "thread") : `${most} of ${counted(machine, "thread")} (${limits.join(", ")})`;
}
