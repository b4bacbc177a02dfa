import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Engine } from "../../../../lib/engine.ts";
import { writeGguf } from "../../../support/files.ts";
import { ggufModel, TINY } from "../../../support/models.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const MAIN = fileURLToPath(new URL("../../../../dist/cli/main.js", import.meta.url));
const scratch = temporaryDirectory();
const hasScript = existsSync("/usr/bin/script");
const GREEDY = ["--temperature", "0", "--max-tokens", "12"];

/** A chat under way, and what it has written so far. */
class Talk {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
  stdout = "";
  stderr = "";

  constructor(command: string, args: string[]) {
    this.#child = spawn(command, args);
    this.#child.stdout.on("data", (data) => {
      this.stdout += data;
    });
    this.#child.stderr.on("data", (data) => {
      this.stderr += data;
    });
    this.#child.stdin.on("error", () => {}); // it may have ended
    this.#ended = new Promise((resolve) =>
      this.#child.once("close", (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr })),
    );
  }

  type(text: string | Uint8Array): void {
    this.#child.stdin.write(text);
  }

  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  /** Waits until `stdout` has a match. */
  async until(pattern: RegExp, from: number = 0): Promise<void> {
    while (!pattern.test(this.stdout.slice(from))) await sleep(10);
  }

  /** Without further lines, unless the input stays open. */
  end({ open = false }: { open?: boolean } = {}): Promise<{ code: number | null; stdout: string; stderr: string }> {
    if (!open) this.#child.stdin.end();
    return this.#ended;
  }
}

function chat(...args: string[]): Talk {
  return new Talk(process.execPath, [MAIN, "chat", ...args]);
}

/** Texts of the answers to lines of a pipe, or why there is none. */
async function answers(lines: string, ...args: string[]): Promise<{ code: number | null; answers: unknown[]; stderr: string }> {
  const talk = chat(...args, "--json");
  talk.type(lines);
  const { code, stdout, stderr } = await talk.end();
  const objects = stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
  return { code, answers: objects.map(({ text, error }) => text ?? error), stderr };
}

describe("kvasir chat", () => {
  it("has the model's template, the history, /system and /reset", async () => {
    const lines = 'Hello\n"""\nTell me\na story\n"""\n/reset\nHello\n/system You are a fox.\nHello\n/system\n/reset\nHello';
    const found = await answers(lines, ...GREEDY);
    const engine = await Engine.open("tales");
    const say = async (messages: { role: string; content: string }[]): Promise<string> =>
      (await engine.generate({ messages }, { temperature: 0, maxTokens: 12 })).text;
    const hello = { role: "user", content: "Hello" };
    const first = await say([hello]);
    const told = await say([hello, { role: "assistant", content: first }, { role: "user", content: "Tell me\na story" }]);
    const fox = { role: "system", content: "You are a fox." };
    const asFox = await say([fox, hello, { role: "assistant", content: first }, hello]);
    await engine.close();
    expect(found).toMatchObject({ code: 0, answers: [first, told, first, asFox, first] });
  });

  it("streams answers to stdout, figures to stderr; takes a model and a system's message", async () => {
    const talk = chat("tales", "--system", "You are a fox.", "--stats", ...GREEDY);
    talk.type("Hello\\\nyou\n");
    const { code, stdout, stderr } = await talk.end();
    const found = await answers("Hello\\\nyou\n", "-m", "tales", "--system", "You are a fox.", ...GREEDY);
    expect([code, stdout]).toEqual([0, `${found.answers[0]}\n`]);
    expect(stderr).toMatch(/^\d+ prompt tokens, first token after \d+ ms, \d+ tokens at \d+ tokens\/s\n$/);
  });

  it("ends at /exit though more may come, lists its commands, and names the one that was meant", async () => {
    const talk = chat();
    talk.type("/help\n/rest\n/etc/passwd\n\n/exit\n");
    const { code, stdout, stderr } = await talk.end({ open: true });
    expect([code, stdout]).toEqual([0, ""]);
    for (const text of ["/system TEXT", "there is no /rest; did you mean /reset?", "there is no /etc/passwd; /help lists"])
      expect(stderr).toContain(text);
  });

  it("from a pipe Ctrl-C ends all, in an answer and between them", async () => {
    const talk = chat("--ignore-eos", "--seed", "1");
    talk.type("Hello\nHello\n");
    await talk.until(/./);
    talk.interrupt();
    const { code, stdout, stderr } = await talk.end({ open: true });
    expect([code, stderr, stdout.at(-1)]).toEqual([130, "", "\n"]);
    const whole = chat("--ignore-eos", "--seed", "1");
    whole.type("Hello\n");
    const begun = stdout.trimEnd();
    expect((await whole.end()).stdout.slice(0, begun.length)).toBe(begun); // of the first answer, and nothing of the second
    const waiting = chat("--max-tokens", "1");
    waiting.type("Hello\n");
    await waiting.until(/\n$/);
    waiting.interrupt();
    expect((await waiting.end({ open: true })).code).toBe(130);
  });

  it("a message that doesn't fit is an error of its own; what was said stays, and at the end of a pipe it has failed", async () => {
    const lines = `Hello\n${"fox ".repeat(200)}\nHello\n`;
    const found = await answers(lines, "--max-context", "128", "--temperature", "0", "--max-tokens", "8");
    expect([found.code, found.answers]).toEqual([
      1,
      [expect.any(String), { code: "PROMPT_TOO_LONG", message: expect.any(String) }, expect.any(String)],
    ]);
    expect(found.stderr).toMatch(/^PROMPT_TOO_LONG .*; \/reset begins anew\nkvasir: PROMPT_TOO_LONG 1 of 3 messages has no answer\n$/);
    const full = await answers("Hello\n", "--max-context", "32", "--ignore-eos");
    expect(full.stderr).toBe("the context of 32 tokens is full: /reset begins anew\n");
  });

  it("a pipe without line ends is read no further than an engine takes", async () => {
    const talk = chat("--max-tokens", "1");
    talk.type("Hello\n");
    for (let i = 0; i < 8; i++) talk.type("a".repeat(2 ** 20));
    const { code, stdout, stderr } = await talk.end({ open: true });
    const error = "kvasir: INVALID_ARGUMENT stdin has a line of more than 4194304 bytes, the most that is read\n";
    expect([code, stderr]).toEqual([2, error]); // nothing of the beginning of the line
    expect(stdout.match(/\n/g)).toHaveLength(1); // and an answer to the line before
  });

  it("a pipe's lines may come in pieces, end in any way, and the last need not end", async () => {
    const talk = chat(...GREEDY, "--json");
    const typed = Buffer.from("One\r\nTwo\rThree ä\nFour");
    for (const byte of typed) talk.type(Buffer.from([byte]));
    await talk.until(/(.*\n){3}/);
    const { code, stdout } = await talk.end();
    const whole = chat(...GREEDY, "--json");
    whole.type("One\nTwo\nThree ä\nFour\n");
    const texts = (lines: string) => lines.trim().split("\n").map((line) => JSON.parse(line).text); // biome-ignore format: a line
    expect([code, texts(stdout).length]).toEqual([0, 4]);
    expect(texts(stdout)).toEqual(texts((await whole.end()).stdout));
  });

  it("a model without a template is one for run", async () => {
    const path = join(scratch, "plain.gguf");
    await writeGguf(path, ggufModel(TINY));
    const { code, stdout, stderr } = await chat(path).end();
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^kvasir: NO_\w+ .*plain\.gguf has no chat template to talk in; kvasir run -m .*plain\.gguf PROMPT continues a text\n$/,
    );
  });

  it("takes no wrong parameter: nothing is loaded for it", async () => {
    const { code, stdout, stderr } = await chat("--top-p", "2", "-m", join(scratch, "absent.gguf")).end();
    expect([code, stdout, stderr]).toEqual([2, "", "kvasir: INVALID_ARGUMENT topP is 2; expected a number from 0 to 1\n"]);
  });

  it.skipIf(!hasScript)("on a terminal: prompts, an editor, Ctrl-C as a key and as a signal, Ctrl-D", async () => {
    const talk = new Talk("/usr/bin/script", ["-qec", `exec ${process.execPath} ${MAIN} chat --ignore-eos --seed 1`, "/dev/null"]);
    await talk.until(/tales, 1024 tokens of context.*> /s);
    const begun = talk.stdout.length;
    talk.type('"""\rin a block\r');
    await talk.until(/\.\.\. .*\.\.\. /s, begun);
    talk.type("typed\u0003");
    await talk.until(/Ctrl-C again, or Ctrl-D, ends\s[^.]*> /s);
    let length = talk.stdout.length;
    talk.type("Hello \\\r");
    await talk.until(/\.\.\. /, length);
    talk.type("you\r");
    await talk.until(/you\s+\w/, length);
    length = talk.stdout.length;
    talk.type("\u0003");
    await talk.until(/> .{0,4}$/, length);
    talk.type("\u0004");
    expect((await talk.end({ open: true })).code).toBe(0);
  });

  it.skipIf(!hasScript)(
    "on a terminal: Ctrl-C stops one answer after the other and not the program; twice at the prompt it ends",
    async () => {
      const talk = new Talk("/usr/bin/script", [
        "-qec",
        `exec ${process.execPath} ${MAIN} chat --ignore-eos --seed 1 --max-context 100000`,
        "/dev/null",
      ]);
      await talk.until(/of context.*> /s);
      for (const message of ["Hello", "Hello again"]) {
        let length = talk.stdout.length;
        talk.type(`${message}\r`);
        await talk.until(new RegExp(`${message}\\s+\\S`), length);
        length = talk.stdout.length;
        await sleep(1100); // what follows sooner counts as the same signal
        talk.type("\u0003");
        await talk.until(/> .{0,4}$/, length);
      }
      talk.type("\u0003");
      await talk.until(/Ctrl-C again, or Ctrl-D, ends\s.*> /s);
      talk.type("\u0003");
      expect((await talk.end({ open: true })).code).toBe(0);
    },
  );
});
