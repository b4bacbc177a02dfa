import { getEventListeners } from "node:events";
import { afterEach, expect, test } from "vitest";
import { KvasirError } from "../../../lib/errors.ts";
import { WorkerClient } from "../../../lib/workers/worker-client.ts";

const BUSY = {};
const clients: WorkerClient[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

function start(): WorkerClient {
  const module = new URL("../../support/idle-or-busy-worker.mjs", import.meta.url);
  const client = new WorkerClient({ module, data: "hello", failure: (reason) => new KvasirError("TOKENIZER_FAILED", reason) });
  clients.push(client);
  return client;
}

test("a deadline counts processor time: what waits longer is answered, what computes longer is ended", async () => {
  const client = start();
  expect(await client.call({ idleMs: 600 }, { deadlineMs: 200 })).toBe("hello");
  await expect(client.call(BUSY, { deadlineMs: 200 })).rejects.toThrow("it took more than 200 ms");
  expect(await client.call({ idleMs: 0 })).toBe("hello");
});

test("an aborted call ends at once, and the next one has a fresh worker", async () => {
  const client = start();
  const abort = new AbortController();
  const call = expect(client.call(BUSY, { signal: abort.signal })).rejects.toBe("enough");
  abort.abort("enough");
  await call;
  await expect(client.call({ idleMs: 0 }, { signal: abort.signal })).rejects.toBe("enough");
  expect(client.ready).toBe(false);
  expect(await client.call({ idleMs: 0 })).toBe("hello");
  expect(client.ready).toBe(true);
});

test("close ends a call under way, and is for good", async () => {
  const client = start();
  expect(await client.call({ idleMs: 0 })).toBe("hello");
  const call = expect(client.call(BUSY)).rejects.toMatchObject({ code: "CLOSED" });
  await client.close();
  await call;
  client.warm();
  await expect(client.call({ idleMs: 0 })).rejects.toMatchObject({ code: "CLOSED" });
});

test("what can't be sent is refused, and costs no worker", async () => {
  const client = start();
  expect(await client.call({ idleMs: 0 })).toBe("hello");
  await expect(client.call(() => {})).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(client.ready).toBe(true);
  expect(await client.call({ idleMs: 0 })).toBe("hello");
});

test("a thread that can't start is told as that, blames nobody's file, and leaves nothing behind", async () => {
  const failure = (): KvasirError => new KvasirError("FILE_INVALID", "blamed");
  for (const url of ["file:///nowhere/worker.mjs", "https://example.com/worker.mjs"]) {
    const client = new WorkerClient({ module: new URL(url), data: undefined, failure });
    clients.push(client);
    const signal = new AbortController().signal;
    for (let i = 0; i < 2; i++) await expect(client.call(0, { signal })).rejects.toMatchObject({ name: "KvasirError", code: "INTERNAL" });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  }
});
