import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { addon, longStep, randomIntegers, results, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./tiny.mjs";

/** One way for a process to end while an engine lives: `lifetime.mjs DIRECTORY SCENARIO`. */

const config = (directory) => {
  return tinyConfig(join(directory, `${randomBytes(6).toString("hex")}.bin`), { device: { kind: "cpu", isa: "portable", threads: 2 } });
};

async function loaded(directory) {
  const engine = new addon.Engine(config(directory));
  await engine.load(() => {});
  engine.setSlot(0, slotConfig());
  return engine;
}

/** An engine in the middle of a step. */
async function stepping(directory) {
  const engine = await loaded(directory);
  const step = engine.step(longStep());
  engine.step(longStep()).catch(() => {});
  await sleep(10);
  return { engine, step };
}

/** Waits until garbage collection has run its finalizers. */
async function collect() {
  for (let i = 0; i < 5; i++) {
    globalThis.gc();
    await sleep(1);
  }
}

const SCENARIOS = {
  exitUnloaded: (directory) => {
    new addon.Engine(config(directory));
    process.exit(7);
  },
  exitLoading: (directory) => {
    new addon.Engine(config(directory)).load(() => {});
    process.exit(7);
  },
  exitInProgress: (directory) => {
    new addon.Engine(config(directory)).load(() => process.exit(7));
  },
  exitStepping: async (directory) => {
    await stepping(directory);
    process.exit(7);
  },
  exitClosing: async (directory) => {
    const { engine } = await stepping(directory);
    engine.close();
    process.exit(7);
  },
  /** Before the process's own handlers run, and so before it tears down what threads use. */
  exitStopped: async (directory) => {
    const { engine } = await stepping(directory);
    process.on("exit", () => {
      try {
        engine.setSlot(0, slotConfig());
        console.log("taken");
      } catch (error) {
        console.log(error.code);
      }
      engine.close();
      engine.step(longStep());
    });
    process.exit(7);
  },
  throwStepping: async (directory) => {
    await stepping(directory);
    setImmediate(() => {
      throw new Error("uncaught");
    });
  },
  sigterm: async (directory) => {
    await stepping(directory);
    process.kill(process.pid, "SIGTERM");
  },
  /** An engine that nobody closes does not keep the process. */
  idle: async (directory) => {
    await loaded(directory);
    console.log("idle");
  },
  /** A step that somebody waits for does. */
  pending: async (directory) => {
    const engine = await loaded(directory);
    engine.step(longStep()).then(() => console.log("settled"));
  },
  /** The unclosed engine is collected, idle or once its step is done, and its thread and memory with it. */
  collected: async (directory) => {
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 40; i++) {
      const engine = await loaded(directory);
      const step = i % 2 === 0 ? engine.step(longStep(200)) : undefined;
      globalThis.gc();
      await step;
      await collect();
    }
    const threads = (await import("node:fs")).readdirSync("/proc/self/task").length;
    console.log(JSON.stringify({ threads, grown: process.memoryUsage.rss() - before }));
  },
  /** A step for whose results there is no memory, and the next, which counts on its token and has another row. */
  lacking: async (directory) => {
    const engine = await loaded(directory);
    engine.setSlot(1, slotConfig());
    const step = stepBuffers([{ slot: 0, start: 0, tokens: [1, 2, 3], output: 1 }]);
    const next = () => stepBuffers([1, 0].map((slot) => ({ slot, start: 0, tokens: slot === 0 ? [-1] : [5, 6], output: 1 })));
    const logits = new Float32Array(SHAPE.vocab * 4_000_000); // 1.5 GB that nobody touches; natively they would be a copy
    const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[0]);
    execFileSync("prlimit", [`--pid=${process.pid}`, `--as=${pages * 4096 + 2 ** 29}`]);
    const [after, alone] = [next(), next()];
    const ends = await Promise.allSettled([engine.step({ ...step, logits }), engine.step(after)]);
    for (const slot of [0, 1]) engine.setSlot(slot, slotConfig({ tokens: Int32Array.of(1), promptLength: 1 }));
    await engine.step(alone);
    console.log(JSON.stringify([...ends.map(({ reason }) => reason?.code ?? "none"), after.sampled[0] === alone.sampled[0]]));
  },
  /** A refused call leaves nothing behind. */
  refused: async (directory) => {
    const engine = await loaded(directory);
    const refuse = async (count) => {
      for (let i = 0; i < count; i++) await engine.step({}).catch(() => {});
      await collect();
    };
    await refuse(5000);
    const before = process.memoryUsage().heapUsed;
    await refuse(20_000);
    console.log(JSON.stringify({ grown: process.memoryUsage().heapUsed - before }));
  },
  workers: async (directory) => {
    const random = randomIntegers(5);
    const one = async () => {
      for (let round = 0; round < 4; round++) {
        const worker = new Worker(new URL(import.meta.url), { workerData: directory });
        const exited = new Promise((resolve) => worker.on("exit", resolve));
        worker.on("error", (error) => console.error(error));
        if (random(4) > 0) await new Promise((resolve) => worker.once("message", resolve));
        await sleep(random(30));
        await worker.terminate();
        await exited;
      }
    };
    await Promise.all(Array.from({ length: 8 }, one));
    console.log("survived");
  },
};

/** Everything that may be under way when the worker is terminated: steps, refusals, progress, closing, throwing getters. */
async function work(directory) {
  const { parentPort } = await import("node:worker_threads");
  const idle = await loaded(directory);
  idle.step(longStep()).catch(() => {});
  parentPort.postMessage("busy");
  for (;;) {
    const engine = await loaded(directory);
    const steps = [engine.step(longStep(300)), engine.step(stepBuffers([{ slot: 0, start: 300, tokens: [-1], output: 1 }], 64))];
    for (let i = 0; i < 200; i++) {
      engine.step({}).catch(() => {});
      try {
        engine.setSlot(1, { temperature: -1 });
      } catch {}
    }
    engine.choose(0, new Float32Array(96), results(1)).catch(() => {});
    await Promise.allSettled(steps);
    await engine.close();
  }
}

if (isMainThread) await SCENARIOS[process.argv[3]](process.argv[2]);
else await work(workerData);
