import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Interrupts } from "../../../lib/cli/interrupts.ts";

describe("Ctrl-C", () => {
  let now = 0;
  const exit = vi.fn();
  const before = process.listeners("SIGINT");

  beforeEach(() => {
    now = 0;
    exit.mockReset();
    vi.spyOn(process, "exit").mockImplementation(exit as never);
    vi.spyOn(performance, "now").mockImplementation(() => now);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    for (const listener of process.listeners("SIGINT")) if (!before.includes(listener)) process.off("SIGINT", listener);
  });

  function interrupt(after: number): void {
    now += after;
    process.emit("SIGINT");
  }

  it("ends the process at once while no command has asked for the signal", () => {
    const interrupts = new Interrupts();
    interrupt(1);
    expect(exit.mock.calls).toEqual([[130]]);
    expect(interrupts.happened).toBe(false);
  });

  it("aborts the signal; the next one ends the process, unless it is the same", () => {
    const interrupts = new Interrupts();
    const { signal } = interrupts;
    interrupt(1);
    expect([signal.aborted, interrupts.happened]).toEqual([true, true]);
    interrupt(999);
    expect(exit).not.toHaveBeenCalled();
    interrupt(1000);
    expect(exit.mock.calls).toEqual([[130]]);
  });

  it("is the command's while it has taken it over", () => {
    const interrupts = new Interrupts();
    const { signal } = interrupts;
    const handler = vi.fn();
    const giveBack = interrupts.takeOver(handler);
    interrupt(1);
    expect([handler.mock.calls.length, signal.aborted]).toEqual([1, false]);
    giveBack();
    interrupt(1000);
    expect([handler.mock.calls.length, signal.aborted]).toEqual([1, true]);
  });
});
