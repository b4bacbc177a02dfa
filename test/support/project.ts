import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT, read } from "./sources.ts";

/** A file of the tarball. */
export interface PackedFile {
  path: string;
  size: number;
}

/** What `npm pack` made. */
export interface Packed {
  /** The tarball. */
  path: string;
  /** Its bytes. */
  size: number;
  unpackedSize: number;
  files: PackedFile[];
}

/** Packs the package into `folder` as it is published, `prepack` included. */
export function pack(folder: string): Packed {
  const output = execFileSync("npm", ["pack", "--json", "--loglevel", "error", "--pack-destination", folder], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const [packed] = JSON.parse(output.slice(output.indexOf("[\n"))) as [Omit<Packed, "path"> & { filename: string }];
  return { ...packed, path: join(folder, packed.filename) };
}

/** What a process wrote, and how it ended. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** A folder outside the checkout where a user would work. */
export class Project {
  readonly folder: string;

  /** An empty project in `folder`. */
  constructor(folder: string) {
    this.folder = folder;
    this.write("package.json", '{ "private": true, "type": "module" }');
  }

  /** Adds packages, without running any script of theirs. */
  install(...packages: string[]): void {
    const flags = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel", "error"];
    execFileSync("npm", ["install", ...flags, ...packages], { cwd: this.folder, stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Writes a file, and returns its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Text of a file of the project. */
  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  /** Runs a program in the folder, without what would find a hub or this checkout. */
  run(command: string, ...args: string[]): Outcome {
    const env = { ...process.env, HF_HUB_OFFLINE: "1", NODE_OPTIONS: "", NO_COLOR: "1" };
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: this.folder, env, encoding: "utf8", timeout: 300_000 });
    return { status, stdout, stderr };
  }

  /** Runs a module that a text is the source of, by this Node or another. */
  module(source: string, node: string = process.execPath): Outcome {
    return this.run(node, this.write("main.mjs", source));
  }

  /** Runs a script of CommonJS that a text is the source of. */
  script(source: string, node: string = process.execPath): Outcome {
    return this.run(node, this.write("main.cjs", source));
  }
}

/** Writes the story's first tokens, in the ten lines that a user needs at most. */
export const STORY = `const engine = await Engine.open("tales");
const { text } = await engine.generate("Once upon a time", { maxTokens: 8, seed: 7 });
console.log("story:" + text);
await engine.close();`;

/** By `import`. */
export const IMPORTED = `import { Engine } from "kvasir";\n${STORY}`;

/** By `require`. */
export const REQUIRED = `const { Engine } = require("kvasir");\n(async () => {\n${STORY}\n})();`;

/** In a worker thread. */
export const IN_WORKER = `import { Worker } from "node:worker_threads";
const worker = new Worker(${JSON.stringify(`const { Engine } = require("kvasir");\n(async () => {\n${STORY}\n})();`)}, { eval: true });
worker.on("exit", (code) => process.exit(code));`;

/** The README's examples, one module each. */
export function readmeExamples(): string[] {
  return [...read("README.md").matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);
}

/** A consumer that uses what the examples don't: the types by name, and that a chunk's `finishReason` tells what else it has. */
export const CONSUMER = `import {
  type Chat, type ChatMessage, type ChatPrompt, type Chunk, type Completion, Engine, type EngineOptions, type EngineStats, ERROR_CODES,
  type ErrorCode, type GenerateParams, KvasirError, type Prompt, type SpeculateOptions, type Timings, Tokenizer, type TokenizerOptions, type Usage,
} from "kvasir";

const speculate: SpeculateOptions = { lookup: true };
const options: EngineOptions = { device: "cpu", threads: 2, speculate, onWarning: ({ code, message }) => console.warn(code, message) };
const message: ChatMessage = { role: "user", content: "Hello" };
const chat: Chat = { messages: [message] };
const params: GenerateParams = { maxTokens: 8, signal: AbortSignal.timeout(1000), logitsProcessor: (logits) => void logits.fill(0) };

export function figures(chunk: Chunk): Usage | undefined {
  if (chunk.finishReason === undefined) return chunk.usage satisfies undefined;
  const timings: Timings = chunk.timings;
  return timings.totalMs > 0 ? chunk.usage : undefined;
}

export async function use(prompt: Prompt = chat): Promise<Completion[]> {
  await using engine: Engine = await Engine.open("tales", options);
  const stats: EngineStats = engine.stats();
  const rendered: ChatPrompt = await engine.renderChat(chat);
  const tokenizerOptions: TokenizerOptions = {};
  const tokenizer = await Tokenizer.open("tales", tokenizerOptions);
  const tokens: Int32Array = await tokenizer.encode(rendered.text);
  console.log(stats.maxContext, tokens.length);
  try {
    return [await engine.generate(prompt, params)];
  } catch (error) {
    if (error instanceof KvasirError && (ERROR_CODES as readonly ErrorCode[]).includes(error.code)) return [];
    throw error;
  }
}
`;

/** Settings of a strict consumer, for one way of finding modules. */
export function strictSettings(resolution: "nodenext" | "bundler"): string {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
    target: "es2022",
    lib: ["es2022", "esnext.disposable", "dom"],
    module: resolution === "nodenext" ? "nodenext" : "esnext",
    moduleResolution: resolution,
    types: ["node"],
  };
  return JSON.stringify({ compilerOptions, include: ["*.ts"] });
}
