import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { StatusLine, withStatus } from "../../../lib/cli/status-line.ts";

const { isTTY } = process.stderr;
let written: string[] = [];

beforeEach(() => {
  written = [];
  process.stderr.isTTY = true;
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => written.push(String(text)) > 0);
});

afterEach(() => {
  process.stderr.isTTY = isTTY;
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it("what is over soon shows nothing", async () => {
  const done = withStatus("a", () => new Promise<void>((resolve) => void setTimeout(resolve, 400)));
  await vi.advanceTimersByTimeAsync(400);
  await done;
  await vi.advanceTimersByTimeAsync(1000);
  expect(written).toEqual([]);
});

it("a single step that takes long is shown while it lasts", async () => {
  const done = withStatus("a", () => new Promise<void>((resolve) => void setTimeout(resolve, 4000)));
  await vi.advanceTimersByTimeAsync(3999);
  expect(written).toEqual(["\r\x1b[Ka"]);
  await vi.advanceTimersByTimeAsync(1);
  await done;
  expect(written).toEqual(["\r\x1b[Ka", "\r\x1b[K"]);
});

it("steps are drawn ten times a second, the last one always", () => {
  const status = new StatusLine();
  for (let ms = 0; ms < 1000; ms += 10) {
    status.show(String(ms));
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(200);
  expect(written.length).toBeGreaterThanOrEqual(5);
  expect(written.length).toBeLessThanOrEqual(7);
  expect(written.at(-1)).toBe("\r\x1b[K990");
  status.clear();
  expect(written.at(-1)).toBe("\r\x1b[K");
});

it("is silent where nobody looks", () => {
  process.stderr.isTTY = false;
  const status = new StatusLine();
  vi.advanceTimersByTime(1000);
  status.show("a");
  vi.advanceTimersByTime(1000);
  status.clear();
  expect(written).toEqual([]);
});
