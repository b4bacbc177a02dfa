import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Progress } from "../../../lib/cli/progress.ts";
import { FakeHub } from "../../support/fake-hub.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const tales = readFileSync(fileURLToPath(new URL("../../../models/tales-q4_0.gguf", import.meta.url)));
const hub = await FakeHub.start();
const commit = hub.add("org/tales-GGUF", { "tales-Q4_0.gguf": tales, "tales-Q8_0.gguf": "other" });
const home = temporaryDirectory();
const env = { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_HUB_CACHE: "", HF_TOKEN: "", HF_HUB_OFFLINE: "" };

beforeEach(() => hub.reset());

function kvasir(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env }, (error, stdout, stderr) => {
      const shown = stderr.replaceAll(/^downloading .*\n/gm, "");
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr: shown });
    });
  });
}

describe("kvasir pull", () => {
  const path = join(home, "hub/models--org--tales-GGUF/snapshots", commit, "tales-Q4_0.gguf");

  it("downloads a model and says where it is", async () => {
    expect(await kvasir("pull", "org/tales-GGUF")).toEqual({ code: 0, stdout: `${path}\n`, stderr: "" });
    expect(readFileSync(path).equals(tales)).toBe(true);
    hub.reset();
    const json = await kvasir("pull", "hf:org/tales-GGUF@v1.0:q4_0", "--json");
    expect(JSON.parse(json.stdout)).toEqual({ model: "org/tales-GGUF@v1.0:q4_0", path });
    expect(hub.fileRequests()).toEqual([]);
  });

  it("and run takes it by the same name", async () => {
    const args = ["run", "Once upon a time", "--max-tokens", "5", "--temperature", "0"];
    const [named, bundled] = await Promise.all([kvasir(...args, "--model", "org/tales-GGUF"), kvasir(...args)]);
    expect([named.code, named.stdout]).toEqual([0, bundled.stdout]);
  });

  it.each([
    [2, "INVALID_ARGUMENT pull needs one name", ["pull"]],
    [2, "INVALID_ARGUMENT pull needs one name", ["pull", "a/b", "c/d"]],
    [2, "INVALID_ARGUMENT pull has no --threads", ["pull", "a/b", "--threads", "2"]],
    [2, 'INVALID_ARGUMENT the model is "../../x"', ["pull", "../../x"]],
    [1, "ACCESS_DENIED model org/absent", ["pull", "org/absent"]],
    [1, "MODEL_NOT_FOUND org/tales-GGUF:Q5_K_M has no such .gguf", ["pull", "org/tales-GGUF:Q5_K_M"]],
  ])("ends with %i and one line: %s", async (code, line, args) => {
    const result = await kvasir(...args);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr).toMatch(/^kvasir: .*\n$/);
    expect(result.stderr).toContain(`kvasir: ${line}`);
  });

  it("ends with 130 at Ctrl-C", async () => {
    hub.add("org/slow", { "x.gguf": tales });
    hub.intercept = ({ server }) => server === "storage";
    const child = spawn(process.execPath, [MAIN, "pull", "org/slow"], { env });
    while (hub.fileRequests("storage").length === 0) await sleep(20);
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
  });
});

describe("progress", () => {
  /** What is written for steps of a download of 200 MB, one a second. */
  const written = (isTTY: boolean, steps: number[]): string[] => {
    const lines: string[] = [];
    let now = 0;
    vi.spyOn(performance, "now").mockImplementation(() => now);
    vi.spyOn(process.stderr, "write").mockImplementation((text) => lines.push(String(text)) > 0);
    const before = process.stderr.isTTY;
    process.stderr.isTTY = isTTY;
    const progress = new Progress("a/b");
    for (const loadedBytes of steps) {
      progress.report({ phase: "download", loadedBytes, totalBytes: 200e6 });
      now += 1000;
    }
    progress.clear();
    process.stderr.isTTY = before;
    vi.restoreAllMocks();
    return lines;
  };

  it("is a bar on a terminal, with what is left", () => {
    expect(written(true, [0, 100e6, 200e6])).toEqual([
      "\r\x1b[Kdownloading a/b: [############............] 50 % of 200 MB, 99.9 MB/s, 2 s left",
      "\r\x1b[Kdownloading a/b: [########################] 100 % of 200 MB, 100 MB/s, 0 s left",
      "\r\x1b[K",
    ]);
  });

  it("is a line for each quarter elsewhere", () => {
    expect(written(false, [0, 10e6, 40e6, 60e6, 90e6, 200e6])).toEqual(
      [0, 25, 100].map((percent) => `downloading a/b: ${percent} % of 200 MB\n`),
    );
  });
});
