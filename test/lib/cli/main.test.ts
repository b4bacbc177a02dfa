import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { median } from "../../../lib/cli/bench.ts";
import { COMMANDS } from "../../../lib/cli/commands.ts";
import { evaluate } from "../../../lib/cli/eval.ts";
import type { Engine } from "../../../lib/engine.ts";
import { Tokenizer } from "../../../lib/tokenizer.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const scratch = temporaryDirectory();

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function kvasir(...args: string[]): Promise<Ended> {
  return kvasirWith("", ...args);
}

/** A line for sh, whose $0 and $1 run the command. */
function shell(line: string): Promise<Ended> {
  return new Promise((resolve) => {
    execFile("/bin/sh", ["-c", line, process.execPath, MAIN], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function kvasirWith(stdin: string, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    child.stdin!.end(stdin);
  });
}

it("bench takes the middle of its runs", () => expect(median([3, 1, 2])).toBe(2));

describe("evaluate", () => {
  /** Characters as tokens; every token but BOS is as probable as its id says. */
  const fake = (bos: boolean, seen: Int32Array[]): Engine =>
    ({
      tokenize: async (text: string, { addSpecial = true } = {}) =>
        Int32Array.from([...(bos && addSpecial ? [7] : []), ...Array.from(text, (char) => char.charCodeAt(0))]),
      score: async (tokens: Int32Array) => {
        seen.push(tokens);
        return { tokens, logprobs: Float32Array.from(tokens, (token, t) => (t === 0 ? Number.NaN : -Math.log(token))) };
      },
    }) as unknown as Engine;

  it.each([false, true])("scores the second halves of whole windows, BOS %s", async (bos) => {
    const seen: Int32Array[] = [];
    // In each window "a" up to position 256 and "b" from 257 on; half a window at the end.
    const text = bos
      ? `${"a".repeat(256)}${"b".repeat(255)}${"a".repeat(257)}${"b".repeat(255)}`
      : `${"a".repeat(257)}${"b".repeat(255)}`.repeat(2);
    const result = await evaluate(fake(bos, seen), text + "a".repeat(300));
    expect(result).toEqual({ perplexity: expect.closeTo(98, 3), windows: 2, predictions: 510 });
    expect(seen.map((window) => [window.length, window[0]])).toEqual(Array(2).fill([512, bos ? 7 : 97]));
  });

  it("takes a text of more tokens than a call takes arguments", async () => {
    const result = await evaluate(fake(true, []), "a".repeat(300_000));
    expect(result).toMatchObject({ windows: 585, perplexity: expect.closeTo(97, 3) });
  });

  it("refuses a text of less than a window", async () => {
    await expect(evaluate(fake(true, []), "a".repeat(510))).rejects.toThrow("the text has 511 tokens; expected at least 512");
  });
});

describe("kvasir", () => {
  it("run: text on stdout, figures on stderr; --json one object with the same text", async () => {
    const args = ["run", "Once upon a time", "--max-tokens", "12", "--temperature", "0"];
    const [plain, json] = await Promise.all([kvasir(...args), kvasir(...args, "--json")]);
    const completion = JSON.parse(json.stdout);
    expect(Object.keys(completion)).toEqual(["text", "tokens", "finishReason", "usage", "timings"]);
    expect(completion.tokens.length).toBe(12);
    expect(plain).toMatchObject({ code: 0, stdout: `${completion.text}\n` });
    expect(plain.stderr).toMatch(/loaded in \d+ ms, 4 prompt tokens, first token after \d+ ms, 12 tokens at \d+ tokens\/s/);
  });

  it("bench: rows for each phase, prompt, batch and context", async () => {
    const args = ["bench", "--prompt", "8,16", "--tokens", "3", "--batch", "2", "--context", "40"];
    const [table, json] = await Promise.all([kvasir(...args), kvasir(...args, "--json")]);
    const rows = JSON.parse(json.stdout) as Record<string, unknown>[];
    const speed = { batch: 2, context: 40, tokensPerSecond: expect.any(Number) };
    const expected = [8, 16].flatMap((prompt) => ["prefill", "decode"].map((phase) => ({ phase, prompt, ...speed })));
    expect(rows).toEqual(expected);
    expect(rows.every(({ tokensPerSecond }) => (tokensPerSecond as number) > 0)).toBe(true);
    expect(table.stdout.match(/^(prefill|decode) /gm)).toEqual(["prefill ", "decode ", "prefill ", "decode "]);
    expect(table.stderr + json.stderr).toBe("");
  });

  it("eval: perplexity of a file", async () => {
    const path = join(scratch, "text.txt");
    writeFileSync(path, "Once upon a time there was a little girl. She liked to play in the park with her dog. ".repeat(40));
    const { stdout, code } = await kvasir("eval", "--text", path, "--json");
    expect(code).toBe(0);
    const { perplexity, windows, predictions } = JSON.parse(stdout);
    expect([windows >= 1, predictions]).toEqual([true, windows * 255]);
    expect(perplexity).toBeGreaterThan(1);
    expect(perplexity).toBeLessThan(40); // eval.txt of the model: 25
  });

  it("--help and --version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
    expect(await kvasir("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    const [bare, help, long] = await Promise.all([kvasir(), kvasir("help"), kvasir("-h")]);
    expect([bare.code, bare.stderr, bare.stdout.split("\n")[0]]).toEqual([0, "", "kvasir: large language models inside Node.js"]);
    expect([help, long]).toEqual([bare, bare]);
    const [ofRun, short] = await Promise.all([kvasir("help", "run"), kvasir("run", "-h")]);
    expect([ofRun.code, ofRun.stdout.split("\n")[0]]).toEqual([0, `kvasir run PROMPT [options]: ${COMMANDS.run!.summary}`]);
    expect(short).toEqual(ofRun);
  });

  it("run: a prompt from stdin, -m, --stop for each end, --system by the chat template", async () => {
    const greedy = ["--temperature", "0", "--max-tokens", "30", "--json"];
    const completion = async (args: string[], stdin = "") => JSON.parse((await kvasirWith(stdin, "run", ...args, ...greedy)).stdout);
    const [given, read] = await Promise.all([
      completion(["Once upon a time"]),
      completion(["-", "-m", "models/tales-q4_0.gguf"], "Once upon a time\n"),
    ]);
    expect([read.text, read.tokens]).toEqual([given.text, given.tokens]);
    const ends = given.text.trim().split(" ");
    const stopped = await completion(["Once upon a time", "--stop", ends[6], "--stop", ends[3]]);
    expect(stopped).toMatchObject({ finishReason: "stop", text: given.text.slice(0, given.text.indexOf(ends[3])) });
    const chat = await completion(["--system", "You are a fox.", "Hello"]);
    const tokenizer = await Tokenizer.open("tales");
    const roles = [
      { role: "system", content: "You are a fox." },
      { role: "user", content: "Hello" },
    ];
    expect(chat.usage.promptTokens).toBe((await tokenizer.renderChat({ messages: roles })).tokens.length);
    await tokenizer.close();
  });

  it.each([
    [2, "INVALID_ARGUMENT there is no command rnu; did you mean run?", ["rnu"]],
    [2, "INVALID_ARGUMENT there is no command walk; expected one of run, ", ["help", "walk"]],
    [2, "INVALID_ARGUMENT run has no --temprature; did you mean --temperature?", ["run", "x", "--temprature", "1"]],
    [2, "INVALID_ARGUMENT run needs a PROMPT", ["run"]],
    [2, "INVALID_ARGUMENT temperature is -1", ["run", "x", "--temperature=-1"]],
    [2, "INVALID_ARGUMENT eval needs --text FILE", ["eval"]],
    [2, "INVALID_ARGUMENT eval takes no x; expected --text FILE alone", ["eval", "x", "--text", "y"]],
    [2, "INVALID_ARGUMENT bench takes no org/name; expected -m MODEL", ["bench", "org/name"]],
    [2, 'INVALID_ARGUMENT --tokens is "3,5"; expected a number', ["bench", "--tokens", "3,5"]],
    [
      2,
      "INVALID_ARGUMENT 8 requests of 1000000016 tokens are more than the cache holds",
      ["bench", "--context", "1000000000", "--prompt", "8", "--tokens", "1", "--batch", "8"],
    ],
    [1, "FILE_NOT_FOUND ", ["run", "x", "--model", join(scratch, "absent.gguf")]],
    [1, "FILE_NOT_FOUND ", ["eval", "--text", join(scratch, "absent.txt")]],
    [1, "FILE_NOT_FOUND ", ["eval", "--text", scratch]],
    [2, "INVALID_ARGUMENT maxContext is 64; expected at least 512", ["eval", "--text", "README.md", "--max-context", "64"]],
    [2, 'INVALID_ARGUMENT model is ""; expected a path or name', ["run", "x", "-m", ""]],
    [1, "UNSUPPORTED_DEVICE ", ["run", "x", "--device", "cuda"]],
  ])("ends with %i and one line: %s", async (code, line, args) => {
    const result = await kvasir(...args);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr).toMatch(/^kvasir: .*\n$/);
    expect(result.stderr).toContain(`kvasir: ${line}`);
  });

  it.skipIf(!existsSync("/dev/zero"))("reads no more than an engine takes", async () => {
    const endless = await kvasir("eval", "--text", "/dev/zero");
    expect([endless.code, endless.stderr]).toEqual([
      2,
      expect.stringContaining("INVALID_ARGUMENT /dev/zero has more than 4194304 characters"),
    ]);
    const zeros = await shell(`exec "$0" "$1" run - < /dev/zero`);
    expect([zeros.code, zeros.stderr]).toEqual([2, expect.stringContaining("INVALID_ARGUMENT stdin has more than 4194304 characters")]);
  });

  it.skipIf(!existsSync("/dev/full"))("says that its output could not be written", async () => {
    const { code, stderr } = await shell(`exec "$0" "$1" help > /dev/full`);
    expect([code, stderr]).toEqual([1, expect.stringContaining("kvasir: the output cannot be written: ENOSPC")]);
  });

  it("ends with 130 at Ctrl-C, whatever it is doing", async () => {
    expect(await runUntilText((child) => child.kill("SIGINT"))).toEqual({ code: 130, signal: null, stderr: "" });
  });

  it("is content when its reader leaves", async () => {
    expect(await runUntilText((child) => child.stdout.destroy())).toEqual({ code: 0, signal: null, stderr: "" });
  });
});

/** How a run without end ends if something happens at its first text, and what it says of it. */
function runUntilText(happen: (child: ChildProcessWithoutNullStreams) => void): Promise<Record<"code" | "signal" | "stderr", unknown>> {
  const child = spawn(process.execPath, [MAIN, "run", "Once", "--ignore-eos", "--max-context", "100000"]);
  let stderr = "";
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  child.stdout.once("data", () => happen(child));
  return new Promise((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, stderr }));
  });
}
