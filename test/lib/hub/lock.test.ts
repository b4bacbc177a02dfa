import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, readFile, rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { withLock } from "../../../lib/hub/lock.ts";
import { sha256 } from "../../support/fake-hub.ts";
import { filesIn, hubWithGguf, PART } from "./support.ts";

const { hub, content, newHome, isRight } = await hubWithGguf();
const hash = sha256(content);
const RANGES = 11;
const PACE = { partBytes: PART, connections: 4, retryMs: 10, staleMs: 1500 };

beforeEach(() => hub.reset());

/** Another process that downloads "org/model". */
function child(home: string): { process: ChildProcess; ended: Promise<{ code: number | null; path: string; stderr: string }> } {
  const script = fileURLToPath(new URL("pull.mjs", import.meta.url));
  const env = { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_HUB_CACHE: "", HF_TOKEN: "", HF_HUB_OFFLINE: "" };
  const started = spawn(process.execPath, [script, "org/model", JSON.stringify(PACE)], { env });
  const output = Promise.all([text(started.stdout), text(started.stderr)]);
  const code = new Promise<number | null>((resolve) => started.on("exit", resolve));
  return { process: started, ended: Promise.all([code, output]).then(([code, [path, stderr]]) => ({ code, path: path.trim(), stderr })) };
}

async function isContent(path: string): Promise<boolean> {
  return (await readFile(path)).equals(content);
}

const storageRequests = () => hub.fileRequests("storage").length;
const lockIn = (home: string) => join(home, "hub/.locks/models--org--model", `${hash}.kvasir.lock`);
const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await sleep(10);
};
const stallFrom = (count: number): void => {
  let requests = 0;
  hub.intercept = ({ server }) => server === "storage" && ++requests > count;
};

describe("a killed process", () => {
  test("leaves what the next goes on with at once", async () => {
    const home = newHome();
    stallFrom(6);
    const first = child(home);
    await until(() => storageRequests() === 10);
    await sleep(100);
    first.process.kill("SIGKILL");
    await first.ended;
    expect((await filesIn(home)).map((path) => path.replace(hash, "HASH"))).toEqual([
      expect.stringMatching(/^\.locks\/models--org--model\/HASH\.kvasir\.lock\/[0-9a-f]{12}-\d+-/),
      "models--org--model/blobs/HASH.kvasir.incomplete",
      "models--org--model/blobs/HASH.kvasir.parts",
    ]);
    hub.reset();
    const second = await child(home).ended;
    expect(second).toMatchObject({ code: 0, stderr: "" });
    expect(await isContent(second.path)).toBe(true);
    expect(storageRequests()).toBe(RANGES - 6);
    expect((await filesIn(home)).filter((path) => path.includes("kvasir"))).toEqual([]);
  });

  test("at any moment leaves a cache that the next finishes", async () => {
    const home = newHome();
    hub.intercept = async ({ server }) => {
      if (server === "storage") await sleep(30);
      return false;
    };
    for (const delay of [150, 200, 230, 260, 290, 320, 350]) {
      const killed = child(home);
      await sleep(delay);
      killed.process.kill("SIGKILL");
      await killed.ended;
    }
    const { code, path } = await child(home).ended;
    expect(code).toBe(0);
    expect(await isContent(path)).toBe(true);
    // No range is asked for more than once for each kill, and no finished one again.
    expect(storageRequests()).toBeLessThan(RANGES + 8 * 4);
  });

  test("is taken over by one that waits for it", async () => {
    const home = newHome();
    stallFrom(3);
    const first = child(home);
    await until(() => storageRequests() === 7);
    const second = child(home);
    await until(() => hub.seen.filter(({ path }) => path.startsWith("/api/")).length === 2);
    await sleep(300);
    hub.reset();
    first.process.kill("SIGKILL");
    const { code, path } = await second.ended;
    expect([code, storageRequests()]).toEqual([0, RANGES - 3]);
    expect(await isContent(path)).toBe(true);
  });

  test("before the rename, with all its counts, leaves a file that has only to be checked", async () => {
    const home = newHome();
    expect(await isRight({ home })).toBe(true);
    const blob = join(home, "hub/models--org--model/blobs", hash);
    await rename(blob, `${blob}.kvasir.incomplete`);
    const counts = [PART, ...Array.from({ length: RANGES - 1 }, () => PART), content.length - (RANGES - 1) * PART];
    await writeFile(`${blob}.kvasir.parts`, Buffer.from(BigUint64Array.from(counts, BigInt).buffer));
    hub.reset();
    expect(await isRight({ home })).toBe(true);
    expect(storageRequests()).toBe(0);
    expect((await filesIn(home)).filter((path) => path.includes("kvasir"))).toEqual([]);
  });
});

describe("two at once", () => {
  const slow = (): void => {
    hub.intercept = async ({ server }) => {
      if (server === "storage") await sleep(100);
      return false;
    };
  };

  test("two processes: one downloads, both have it", async () => {
    slow();
    const home = newHome();
    const [a, b] = await Promise.all([child(home).ended, child(home).ended]);
    expect([a.code, b.code, a.stderr + b.stderr]).toEqual([0, 0, ""]);
    expect(a.path).toBe(b.path);
    expect(await isContent(a.path)).toBe(true);
    expect(storageRequests()).toBe(RANGES);
  });

  test("two calls of one process: likewise", async () => {
    slow();
    const home = newHome();
    expect(await Promise.all([isRight({ home }), isRight({ home })])).toEqual([true, true]);
    expect(storageRequests()).toBe(RANGES);
  });

  test("of a process that was stopped for long and goes on, nothing is spoilt", async () => {
    slow();
    const home = newHome();
    const first = child(home);
    await until(() => storageRequests() >= 3);
    first.process.kill("SIGSTOP");
    const second = await child(home).ended;
    expect(second.code).toBe(0);
    first.process.kill("SIGCONT");
    expect((await first.ended).code).toBe(0);
    expect(await isContent(second.path)).toBe(true);
    expect((await filesIn(home)).filter((path) => path.includes("kvasir"))).toEqual([]);
  });
});

describe("a lock", () => {
  /** A home where somebody's lock is left. */
  const homeLocked = async (owner: string): Promise<{ home: string; file: string }> => {
    const home = newHome();
    const file = join(lockIn(home), owner);
    await mkdir(lockIn(home), { recursive: true });
    await writeFile(file, "");
    return { home, file };
  };

  test("of another machine is waited for while it is touched, and taken over after", async () => {
    const { home, file } = await homeLocked(`000000000000-${process.pid}-x`);
    const beat = setInterval(() => utimes(file, new Date(), new Date()), 100);
    const opening = isRight({ home, pace: { staleMs: 600 } });
    expect(await Promise.race([opening, sleep(1500)])).toBeUndefined();
    clearInterval(beat);
    expect(await opening).toBe(true);
  });

  test.each(["nonsense", ".x", "0-0-0"])("that %s holds is taken over", async (owner) => {
    const { home } = await homeLocked(owner);
    expect(await isRight({ home, pace: { staleMs: 300 } })).toBe(true);
    expect((await filesIn(home)).filter((path) => path.includes("kvasir"))).toEqual([]);
  });

  test("that nobody holds, as a killed process may leave it, is taken at once", async () => {
    const home = newHome();
    await mkdir(lockIn(home), { recursive: true });
    expect(await isRight({ home, pace: { staleMs: 600_000 } })).toBe(true);
  });

  test("is waited for no longer than the signal says", async () => {
    const { home, file } = await homeLocked("somebody");
    await expect(isRight({ home, signal: AbortSignal.timeout(300) })).rejects.toThrow("timeout");
    expect(await readFile(file, "utf8")).toBe("");
  });

  test("is held by one at a time of many who take a stale one over", async () => {
    const folder = newHome();
    const path = join(folder, "x.lock");
    let holders = 0;
    let most = 0;
    const hold = () =>
      withLock(path, 10_000, undefined, async ({ check }) => {
        most = Math.max(most, ++holders);
        await sleep(2);
        await check();
        holders--;
      });
    // Of a process of this machine that is gone: all see it at once.
    const { name } = await new Promise<{ name: string }>((resolve) => {
      withLock(path, 10_000, undefined, async () => resolve({ name: (await readdir(path))[0]! }));
    });
    for (let round = 0; round < 20; round++) {
      await mkdir(path, { recursive: true });
      await writeFile(join(path, name.replace(/-\d+-/, `-${2 ** 22 + 1}-`)), "");
      await Promise.all(Array.from({ length: 4 }, hold));
    }
    expect(most).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });
});
