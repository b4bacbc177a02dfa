import { expect, test } from "vitest";
import { StopMatcher, stopPatterns } from "../../../../lib/text/output/stop.ts";

/** A small generator of random numbers below n (Park and Miller's), so that failures repeat. */
function randomBelow(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

function feed(stops: string[], pieces: string[]): { text: string; stopped: boolean; emitted: string[] } {
  const matcher = new StopMatcher(stopPatterns(stops));
  const emitted: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    emitted.push(text);
    if (stopped) return { text: emitted.join(""), stopped, emitted };
  }
  emitted.push(matcher.flush());
  return { text: emitted.join(""), stopped: false, emitted };
}

/** The stop string that ends first, `from` or later, the longest of those that end there. */
function reference(stops: string[], text: string, from = 1): { text: string; stopped: boolean } {
  for (let end = from; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map(({ length }) => length);
    if (found.length > 0) return { text: text.slice(0, end - Math.max(...found)), stopped: true };
  }
  return { text, stopped: false };
}

test.each([
  { stops: ["</end>"], pieces: ["a</e", "nd> and more"], text: "a", stopped: true },
  { stops: ["</end>"], pieces: ["a</e", "n", "x"], text: "a</enx", stopped: false },
  { stops: ["</end>"], pieces: ["a</e"], text: "a</e", stopped: false },
  { stops: ["ab", "xabc"], pieces: ["xabc"], text: "x", stopped: true },
  { stops: ["b", "ab"], pieces: ["xab"], text: "x", stopped: true },
  { stops: ["aab"], pieces: ["aa", "aab"], text: "aa", stopped: true },
  { stops: ["é🙂"], pieces: ["x", "é", "🙂y"], text: "x", stopped: true },
  { stops: [], pieces: ["x", "y"], text: "xy", stopped: false },
])("$stops in $pieces", ({ stops, pieces, text, stopped }) => {
  expect(feed(stops, pieces)).toMatchObject({ text, stopped });
});

test("the cut into pieces changes nothing, and no beginning of a stop string is emitted early", () => {
  const below = randomBelow(7);
  const random = (length: number): string => Array.from({ length }, () => "ab"[below(2)]).join("");
  for (let round = 0; round < 1000; round++) {
    const stops = Array.from({ length: 1 + below(3) }, () => random(2 + below(5)));
    const pieces = Array.from({ length: 1 + below(8) }, () => random(below(4)));
    const { emitted, ...result } = feed(stops, pieces);
    expect(result).toEqual(reference(stops, pieces.join("")));
    for (let i = 1; i <= pieces.length && i < emitted.length; i++) {
      const received = pieces.slice(0, i).join("");
      if (!reference(stops, received).stopped) expect(emitted.slice(0, i).join("")).toBe(withoutBeginning(stops, received));
    }
  }
});

/** `text` without the longest end that may become a stop string. */
function withoutBeginning(stops: string[], text: string): string {
  for (let length = Math.min(text.length, 7); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return text.slice(0, text.length - length);
  }
  return text;
}

test("an empty stop string is refused", () => {
  expect(() => new StopMatcher(stopPatterns([""]))).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
});

test("nothing follows a stop", () => {
  const matcher = new StopMatcher(stopPatterns(["."]));
  expect(matcher.push("a.b")).toEqual({ text: "a", stopped: true });
  expect(matcher.push("c")).toEqual({ text: "", stopped: true });
  expect(matcher.flush()).toBe("");
});

test("half a surrogate pair stops nothing: no character is cut", () => {
  for (const stop of ["\ude42", "\ud83d", "a\ud83d"]) {
    const matcher = new StopMatcher(stopPatterns([stop]));
    expect(matcher.push("a🙂b")).toEqual({ text: "a🙂b", stopped: false });
    expect(matcher.flush()).toBe("");
  }
  expect(new StopMatcher(stopPatterns(["\ud83d", "🙂"])).push("a🙂b")).toEqual({ text: "a", stopped: true });
});

test("what ends while nothing may stop is text, and what begins there may end later", () => {
  const below = randomBelow(11);
  const random = (length: number): string => Array.from({ length }, () => "ab"[below(2)]).join("");
  for (let round = 0; round < 1000; round++) {
    const stops = Array.from({ length: 1 + below(3) }, () => random(1 + below(4)));
    const [before, text] = [random(below(8)), random(12)];
    const matcher = new StopMatcher(stopPatterns(stops));
    const early = matcher.push(before, false);
    const late = matcher.push(text);
    const found = early.text + late.text + (late.stopped ? "" : matcher.flush());
    expect([found, late.stopped, early.stopped]).toEqual([...Object.values(reference(stops, before + text, before.length + 1)), false]);
  }
});
