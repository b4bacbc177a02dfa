import { readFile, rename, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { expectError } from "../../support/expect.ts";
import { gitSha1, type Intercept, noise, send, sha256 } from "../../support/fake-hub.ts";
import { filesIn, hubWithGguf, listeners, PART } from "./support.ts";

const { hub, content, newHome, open, isRight } = await hubWithGguf();
const hash = sha256(content);
const ranges = () => hub.fileRequests("storage").map(({ range }) => range);
const blobIn = (home: string) => join(home, "hub/models--org--model/blobs", hash);

beforeEach(() => hub.reset());

/** What storage answers; all else is the hub's. `count` counts storage's requests from 1 on. */
const storage = (answer: (...args: [...Parameters<Intercept>, count: number]) => ReturnType<Intercept>): void => {
  let count = 0;
  hub.intercept = (seen, response, file) => seen.server === "storage" && answer(seen, response, file, ++count);
};

/** Sends some bytes of what is asked for, then breaks the connection. */
const breakAfter = (bytes: number): Intercept => {
  return ({ range }, response, file) => {
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range!)!;
    response.writeHead(206, { "content-range": `bytes ${from}-${to}/${file!.length}`, "content-length": Number(to) - Number(from) + 1 });
    response.write(file!.subarray(Number(from), Number(from) + bytes), () => response.destroy());
    return true;
  };
};

test("ranges come at once, each asked for once, and progress adds up", async () => {
  let most = 0;
  let now = 0;
  storage(async (_, response) => {
    most = Math.max(most, ++now);
    await sleep(20);
    response.on("close", () => now--);
    return false;
  });
  const { steps, request } = listeners();
  expect(await isRight(request)).toBe(true);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(4);
  expect(new Set(ranges()).size).toBe(11);
  expect(ranges()).toHaveLength(11);
  const loaded = steps.map(({ loadedBytes }) => loadedBytes);
  expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
  expect(steps.at(-1)).toEqual({ phase: "download", loadedBytes: content.length, totalBytes: content.length });
});

describe("a server that", () => {
  test("breaks connections is asked for the rest of each range", async () => {
    storage((seen, response, file, count) => count <= 8 && breakAfter(20_000)(seen, response, file));
    expect(await isRight()).toBe(true);
    expect(ranges().some((range) => Number(/\d+/.exec(range!)![0]) % PART === 20_000)).toBe(true);
  });

  test("breaks each connection after some bytes is asked until all is there", async () => {
    storage(breakAfter(9_000));
    expect(await isRight()).toBe(true);
    expect(ranges()).toHaveLength(10 * 8 + 2);
  });

  test("ends bodies early without an error is asked for the rest", async () => {
    storage(({ range }, response, file, count) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range!)!;
      if (count % 2 === 0) return false;
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/${file!.length}` });
      response.end(file!.subarray(Number(from), (Number(from) + Number(to)) >> 1));
      return true;
    });
    expect(await isRight()).toBe(true);
  });

  test("ignores ranges is read once, to the end", async () => {
    storage((_, response, file) => {
      send(response, file!, undefined);
      return true;
    });
    expect(await isRight()).toBe(true);
    expect(ranges()).toHaveLength(1);
  });

  test("ignores ranges and breaks off is read again, and what is there is passed over", async () => {
    storage((_, response, file, count) => {
      response.writeHead(200, { "content-length": file!.length });
      if (count > 3) response.end(file);
      else response.write(file!.subarray(0, count * 150_000), () => response.destroy());
      return true;
    });
    expect(await isRight()).toBe(true);
    expect(ranges()).toHaveLength(4);
  });

  test("gives ranges now and whole files then", async () => {
    storage((_, response, file, count) => {
      if (count % 3 !== 0) return false;
      send(response, file!, undefined);
      return true;
    });
    expect(await isRight()).toBe(true);
    expect(ranges()).toHaveLength(11);
  });

  test.each([
    ["another place", (from: number, to: number, size: number) => `bytes ${from + 1}-${to + 1}/${size}`],
    ["another size", (from: number, to: number, size: number) => `bytes ${from}-${to}/${size + 1}`],
    ["nothing", () => ""],
    ["nonsense", () => "bytes */*"],
  ])("lies of a range, %s, is not believed", async (_, lie) => {
    const lying: Intercept = ({ range }, response, file) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range!)!;
      response.writeHead(206, { "content-range": lie(Number(from), Number(to), file!.length) });
      response.end(file!.subarray(Number(from), Number(to) + 1));
      return true;
    };
    storage((seen, response, file, count) => count <= 3 && lying(seen, response, file));
    expect(await isRight()).toBe(true);
    storage(lying);
    const host = new URL(hub.storage).host;
    await expectError(isRight(), "DOWNLOAD_FAILED", "model org/model", host, "Content-Range", "expected bytes from 0 of");
  });

  test.each([
    ["416", 416],
    ["403 where a signed address has expired", 403],
    ["500", 500],
    ["503", 503],
    ["408", 408],
  ])("answers %s is asked again, not for ever", async (_, status) => {
    storage((_, response, __, count) => {
      if (count > 3) return false;
      response.writeHead(status).end("<html>");
      return true;
    });
    expect(await isRight()).toBe(true);
    storage((_, response) => {
      response.writeHead(status).end();
      return true;
    });
    hub.seen.length = 0;
    await expectError(isRight(), "DOWNLOAD_FAILED", "model org/model", new URL(hub.storage).host, String(status));
    expect(ranges()).toHaveLength(4);
  });

  test("asks to wait is given the time", async () => {
    storage((_, response, __, count) => {
      if (count > 1) return false;
      response.writeHead(429, { "retry-after": "1" }).end();
      return true;
    });
    const start = performance.now();
    expect(await isRight()).toBe(true);
    expect(performance.now() - start).toBeGreaterThan(950);
    storage((_, response) => {
      response.writeHead(429, { "retry-after": "3600" }).end();
      return true;
    });
    await expectError(isRight(), "DOWNLOAD_FAILED", "429");
  });

  test("falls silent is left", async () => {
    storage((_, response, file, count) => {
      if (count > 2) return false;
      response.writeHead(200, { "content-length": file!.length });
      if (count === 2) response.write(file!.subarray(0, 1000));
      else response.flushHeaders();
      return true;
    });
    expect(await isRight({ pace: { silenceMs: 200 } })).toBe(true);
    expect(ranges()).toHaveLength(3);
    hub.intercept = (seen) => seen.server === "storage";
    await expectError(isRight({ pace: { silenceMs: 50 } }), "DOWNLOAD_FAILED", "silent for 0.05 s");
  });

  test("is slow, but never silent for long, is not left", async () => {
    storage(async ({ range }, response, file) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range!)!;
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/${file!.length}` });
      const end = Number(to) + 1;
      for (let at = Number(from); at < end; at += 20_000) {
        response.write(file!.subarray(at, Math.min(at + 20_000, end)));
        await sleep(100);
      }
      response.end();
      return true;
    });
    expect(await isRight({ pace: { silenceMs: 300, connections: 16 } })).toBe(true);
    expect(ranges()).toHaveLength(11);
  });

  test("sends more than was asked for is not listened to any longer", async () => {
    storage(({ range }, response, file) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range!)!;
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/${file!.length}` });
      response.end(Buffer.concat([file!.subarray(Number(from), Number(to) + 1), noise(1 << 20)]));
      return true;
    });
    expect(await isRight()).toBe(true);
    expect(ranges()).toHaveLength(11);
  });

  test("says that the content is another, by ETag or by size, is not believed", async () => {
    hub.intercept = ({ server, path }, response) => {
      if (server === "storage" || path.startsWith("/api/")) return false;
      response.writeHead(302, { location: `${hub.storage}${path}`, "x-linked-etag": `"${"0".repeat(64)}"` }).end();
      return true;
    };
    await expectError(isRight(), "DOWNLOAD_FAILED", new URL(hub.storage).host, `ETag ${"0".repeat(64)}; expected ${hash}`);
    storage((_, response) => {
      send(response, noise(100), undefined);
      return true;
    });
    await expectError(isRight(), "DOWNLOAD_FAILED", "has 100 bytes of model-Q4_K_M.gguf; expected 667705");
  });
});

describe("wrong bytes", () => {
  const other = noise(content.length, 2);
  const sendOther: Intercept = ({ range }, response) => {
    send(response, other, range, { etag: '"another"' });
    return true;
  };

  test("of a file that changes in the middle are got again", async () => {
    storage((seen, response, file, count) => count <= 5 && sendOther(seen, response, file));
    const { steps, request } = listeners();
    expect(await isRight(request)).toBe(true);
    expect(ranges()).toHaveLength(22);
    expect(steps.at(-1)).toEqual({ phase: "download", loadedBytes: content.length, totalBytes: content.length });
  });

  test("that come twice are an error, and nothing of them stays", async () => {
    storage(sendOther);
    const home = newHome();
    await expectError(isRight({ home }), "CHECKSUM_MISMATCH", "org/model", "model-Q4_K_M.gguf", `SHA-256 than ${hash}`);
    expect(await filesIn(home)).toEqual([]);
    hub.reset();
    expect(await isRight({ home })).toBe(true);
  });

  test("of a small file are an error, too", async () => {
    const config = JSON.stringify({ model_type: "llama" });
    hub.add("org/small", { "config.json": config, "model.safetensors": "x" });
    hub.intercept = ({ path }, response) => {
      if (!path.endsWith("config.json")) return false;
      send(response, Buffer.from(config.toUpperCase()), undefined);
      return true;
    };
    await expectError(open("org/small"), "CHECKSUM_MISMATCH", "config.json", `SHA-1 than ${gitSha1(Buffer.from(config))}`);
  });
});

describe("what an interrupted download left", () => {
  /** Leaves a download with some ranges there. */
  const interrupt = async (home: string): Promise<void> => {
    storage((_, __, ___, count) => count > 6);
    await expect(open("org/model", { home, signal: AbortSignal.timeout(500) })).rejects.toThrow("timeout");
    expect((await filesIn(home)).map((path) => path.replace(/.*[0-9a-f]{64}/, "BLOB"))).toEqual([
      "BLOB.kvasir.incomplete",
      "BLOB.kvasir.parts",
    ]);
    hub.reset();
  };

  test("is gone on with", async () => {
    const home = newHome();
    await interrupt(home);
    const { steps, request } = listeners();
    expect(await isRight({ home, ...request })).toBe(true);
    expect(ranges()).toHaveLength(5);
    expect(steps[0]!.loadedBytes).toBe(6 * PART);
    expect((await filesIn(home)).filter((path) => path.includes("kvasir"))).toEqual([]);
  });

  test("and whole, without its counts, has only to be checked", async () => {
    const home = newHome();
    expect(await isRight({ home })).toBe(true);
    await rename(blobIn(home), `${blobIn(home)}.kvasir.incomplete`);
    hub.seen.length = 0;
    expect(await isRight({ home })).toBe(true);
    expect(ranges()).toEqual([]);
  });

  test.each<[string, (blob: string) => Promise<void>, number]>([
    ["whole, without its counts, and wrong", async (blob) => writeFile(`${blob}.kvasir.incomplete`, noise(content.length, 3)), 11],
    ["counts of another size of ranges", async (blob) => writeFile(`${blob}.kvasir.parts`, Buffer.alloc(96, 1)), 11],
    ["counts of more bytes than there are", async (blob) => truncate(`${blob}.kvasir.incomplete`, 1000), 11],
    ["counts that were cut", async (blob) => truncate(`${blob}.kvasir.parts`, 17), 11],
    ["bytes that are wrong where the counts say they are there", async (blob) => spoil(`${blob}.kvasir.incomplete`), 5 + 11],
  ])("is not believed: %s", async (_, spoilAt, requests) => {
    const home = newHome();
    await interrupt(home);
    if (requests === 11 && _.startsWith("whole")) await rename(`${blobIn(home)}.kvasir.parts`, join(home, "away"));
    await spoilAt(blobIn(home));
    expect(await isRight({ home })).toBe(true);
    expect(ranges()).toHaveLength(requests);
  });

  async function spoil(path: string): Promise<void> {
    const bytes = await readFile(path);
    bytes[5]! ^= 1;
    await writeFile(path, bytes);
  }
});

test("a blob of another size than listed is replaced", async () => {
  const home = newHome();
  expect(await isRight({ home })).toBe(true);
  await truncate(blobIn(home), 10);
  expect(await isRight({ home })).toBe(true);
  expect((await stat(blobIn(home))).size).toBe(content.length);
});

test("a signal ends a download at once, with its reason", async () => {
  hub.intercept = (seen) => seen.server === "storage";
  const start = performance.now();
  const signal = AbortSignal.timeout(200);
  await expect(open("org/model", { signal })).rejects.toBe(
    await new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(signal.reason));
    }),
  );
  await expect(open("org/model", { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
  expect(performance.now() - start).toBeLessThan(3000);
});

test("what onProgress throws ends it, too", async () => {
  const mine = new Error("mine");
  const onProgress = (): void => {
    throw mine;
  };
  await expect(open("org/model", { onProgress })).rejects.toBe(mine);
});

test("a file without bytes, and one of a single range", async () => {
  hub.add("org/odd", { "empty.gguf": "" });
  expect((await readFile(await open("org/odd"))).length).toBe(0);
  const exact = noise(PART);
  hub.add("org/exact", { "exact.gguf": exact });
  expect((await readFile(await open("org/exact"))).equals(exact)).toBe(true);
  expect(ranges().at(-1)).toBeUndefined();
});

test("the event loop stays free", { retry: 3 }, async () => {
  const large = Buffer.alloc(24 << 20, "not all the same");
  hub.add("org/large", { "large.gguf": large });
  let longest = 0;
  let last = performance.now();
  const ticker = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  await open("org/large", { pace: { partBytes: 1 << 21 } });
  clearInterval(ticker);
  // The hub is in this process, too, and the machine may be busy.
  expect(longest).toBeLessThan(300);
});
