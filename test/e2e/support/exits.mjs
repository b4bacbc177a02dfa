import { readdirSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/**
 * A process that ends while an engine works: `exits.mjs '{ "moment", "end", "delayMs", "options" }'`. Prints `begins MS` when its end begins, by the time of
 * day, and whatever is not as it should be.
 */
const { moment, end, delayMs, options } = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const root = new URL("../../../", import.meta.url);
/** Ends what an engine does that is then dropped. */
const dropping = new AbortController();
const { signal } = dropping;

const { createEngine } = await import(new URL("dist/engine.js", root));
const { openParts } = await import(new URL("dist/run/parts.js", root));
const { native } = await import(new URL("dist/native/addon.js", root));

/** However few processors there are. */
const anyThreads = { parallelism: () => ({ machine: 256, allowed: 256, cores: 2, quota: undefined }) };

/** The addon with the device that KVASIR_TEST_DEVICE names. */
function addonOf(kind) {
  if (kind === undefined) return { ...native(), ...anyThreads };
  const directory = process.env.KVASIR_PREBUILD ?? fileURLToPath(root);
  const addon = createRequire(import.meta.url)(join(directory, "build/Release/test/kvasir_test.node"));
  const device = kind === "cuda" ? { kind, index: 0 } : { kind };
  class Engine extends addon.Engine {
    constructor(config) {
      super({ ...config, device: { ...config.device, ...device } });
    }
  }
  return { ...addon, ...anyThreads, Engine };
}

async function open() {
  return createEngine(await openParts("tales", { ...options, signal }, addonOf(process.env.KVASIR_TEST_DEVICE)));
}

/** What is under way when the end comes may fail for two reasons. */
async function mayEnd(work) {
  try {
    return await work;
  } catch (error) {
    if (error.code !== "CLOSED" && error !== signal.reason) throw error;
  }
}

const prompt = (i) => Int32Array.from({ length: 900 }, (_, t) => 1 + ((i * 7 + t * 13) % 900));
const greedy = { temperature: 0, ignoreEos: true, signal };

/** What an engine does when the end comes: each calls `ends` with its engine, or the promise of one. */
const MOMENTS = {
  opening: async (ends) => {
    const opening = mayEnd(open());
    await sleep(delayMs * 4);
    await ends(opening);
  },
  prefill: async (ends) => {
    const engine = await open();
    const requests = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => mayEnd(engine.generate(prompt(i), greedy)));
    await sleep(delayMs);
    await Promise.all([ends(engine), ...requests]);
  },
  decode: async (ends) => {
    const engine = await open();
    const read = async (seed, first) => {
      for await (const _ of engine.stream("Once upon a time", { seed, ignoreEos: true, signal })) first?.();
    };
    await new Promise((first, failed) => mayEnd(read(1, first)).catch(failed));
    const others = [2, 3].map((seed) => mayEnd(read(seed)));
    await sleep(delayMs);
    await Promise.all([ends(engine), ...others]);
  },
  rendering: async (ends) => {
    const engine = await open();
    const messages = Array.from({ length: 201 }, (_, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content: "A fox. ".repeat(40) }));
    const render = async () => {
      while (!signal.aborted) await engine.renderChat({ messages });
    };
    const rendering = mayEnd(render());
    await sleep(delayMs);
    await Promise.all([ends(engine), rendering]);
  },
  scoring: async (ends) => {
    const engine = await open();
    const scoring = mayEnd(engine.score(prompt(0), { logits: true, signal }));
    await sleep(delayMs);
    await Promise.all([ends(engine), scoring]);
  },
  /** From inside of the call. */
  processor: async (ends) => {
    const engine = await open();
    let calls = 0;
    const logitsProcessor = () => {
      calls += 1;
      if (calls === 1 + (delayMs % 8)) void ends(engine);
    };
    await mayEnd(engine.generate(prompt(0), { ...greedy, logitsProcessor }));
  },
};

/** How this thread's part ends. */
const ENDS = {
  exit: () => process.exit(7),
  /** What an exit handler asks for can't come any more. */
  exitHandler: (engine) => {
    process.on("exit", () => {
      void engine.close?.();
      void engine.generate?.("Once").catch(() => {});
    });
    process.exit(7);
  },
  throw: () => {
    setImmediate(() => {
      throw new Error("on purpose");
    });
  },
  reject: () => void Promise.reject(new Error("on purpose")),
  SIGINT: () => process.kill(process.pid, "SIGINT"),
  SIGTERM: () => process.kill(process.pid, "SIGTERM"),
  SIGKILL: () => process.kill(process.pid, "SIGKILL"),
  /** As a server does it: the process then ends by itself. */
  handled: (engine) => {
    process.once("SIGTERM", () => ENDS.close(engine));
    process.kill(process.pid, "SIGTERM");
  },
  close: async (engine) => {
    if (moment === "opening") dropping.abort();
    await (await engine)?.close();
  },
  closeTwice: async (engine) => {
    const opened = await engine;
    await Promise.all([opened.close(), opened.close()]);
    await opened.close();
  },
  /** Nobody closes it. */
  drop: async () => {
    dropping.abort();
    for (let i = 0; i < 5; i++) {
      globalThis.gc();
      await turn();
    }
  },
  /** In a worker: the main thread ends it. */
  told: () => parentPort.postMessage("now"),
};

/** How a process ends whose engine, or whose two, work in threads. */
const ENDS_OF_WORKERS = {
  terminate: ({ worker }) => worker.terminate(),
  workerExits: ({ exited }) => expectCode(exited, 7),
  workerThrows: ({ exited }) => expectCode(exited, 1),
  mainExits: () => process.exit(7),
  /** Another worker's engine gives what it gave before, while this one ends. */
  oneOfTwo: async ({ worker }, other) => {
    const answer = once(other.worker, "message");
    other.worker.postMessage("again");
    await worker.terminate();
    const [again] = await answer;
    if (again !== "same") console.log(again);
    await other.worker.terminate();
  },
};
const END_IN_WORKER = { workerExits: "exit", workerThrows: "throw" };

function begins() {
  writeSync(1, `begins ${Date.now()}\n`);
}

const once = (emitter, name) => new Promise((resolve) => emitter.once(name, (...values) => resolve(values)));

async function expectCode(exited, expected) {
  const [code] = await exited;
  if (code !== expected) console.log(`the worker ended with ${code}`);
}

/** A worker, its first message and its end. */
function start(data) {
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  worker.on("error", (error) => error.message === "on purpose" || console.log(error));
  return { worker, message: once(worker, "message"), exited: once(worker, "exit") };
}

/** Ends one worker in the middle of its work; its threads are to be gone. */
async function runWorkers() {
  await Promise.all(Array.from({ length: 8 }, () => sleep(0).then(() => readdirSync("/")))); // Node's own threads are there
  if (process.env.KVASIR_TEST_DEVICE === "cuda") await (await startOther()).worker.terminate(); // and the driver's
  const other = end === "oneOfTwo" ? await startOther() : undefined;
  const before = threads();
  const worker = start({ moment, end: END_IN_WORKER[end] ?? "told", delayMs, options });
  await worker.message;
  begins();
  await ENDS_OF_WORKERS[end](worker, other);
  if (other === undefined) await expectThreads(before);
}

const threads = () => readdirSync("/proc/self/task").length;

async function expectThreads(count) {
  for (let i = 0; i < 100 && threads() > count; i++) await sleep(10);
  if (threads() > count) console.log(`${threads()} threads; there were ${count} before`);
}

/** A worker whose engine has worked, and works on. */
async function startOther() {
  const other = start({ moment: "other" });
  await other.message;
  return other;
}

/** A worker that works beside the one that ends. */
async function runOther() {
  const engine = await open();
  const tokens = async () => String((await engine.generate("Once upon a time", { ...greedy, maxTokens: 40 })).tokens);
  const first = await tokens();
  parentPort.on("message", async () => {
    const again = await tokens();
    parentPort.postMessage(again === first ? "same" : `${again} after ${first}`);
  });
  parentPort.postMessage("ready");
}

if (end in ENDS_OF_WORKERS) await runWorkers();
else if (moment === "other") await runOther();
else {
  await MOMENTS[moment]((engine) => {
    if (isMainThread) begins();
    else parentPort.postMessage("now");
    return ENDS[end](engine);
  });
}
