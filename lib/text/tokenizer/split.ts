import type { Pattern } from "./patterns.ts";

/** What becomes of the text that a Split's pattern matches. */
export const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;

/** One of {@link BEHAVIORS}. */
export type Behavior = (typeof BEHAVIORS)[number];

/** A part of a text; the parts of a text follow each other without a gap. */
interface Part {
  start: number;
  end: number;
  match: boolean;
}

/** Whether all of a text is in its pieces. */
export function keepsText(behavior: Behavior): boolean {
  return behavior !== "Removed";
}

/** Appends a text's pieces to `pieces`, none of them "". `invert`: what lies between the matches is what matches. */
export function split(text: string, pattern: Pattern, behavior: Behavior, invert: boolean, pieces: string[]): void {
  if (behavior === "Isolated") {
    const words = pattern.words(text);
    if (words !== undefined) {
      for (const word of words) if (word !== "") pieces.push(word);
      return;
    }
  }
  for (const { start, end, match } of joined(parts(text, pattern, invert), behavior)) {
    if (start < end && !(match && behavior === "Removed")) pieces.push(text.slice(start, end));
  }
}

/** Matches and what lies between. Empty matches count: they keep what stands beside them from being joined. */
function parts(text: string, pattern: Pattern, invert: boolean): Part[] {
  const found: Part[] = [];
  let last = 0;
  for (const [start, end] of pattern.matches(text)) {
    if (start > last) found.push({ start: last, end: start, match: invert });
    found.push({ start, end, match: !invert });
    last = end;
  }
  if (last < text.length) found.push({ start: last, end: text.length, match: invert });
  return found;
}

function joined(found: Part[], behavior: Behavior): Part[] {
  if (behavior === "Isolated" || behavior === "Removed") return found;
  if (behavior === "MergedWithNext") return joinedBackwards(found);
  const pieces: Part[] = [];
  let previous = false;
  for (const { start, end, match } of found) {
    const joins = behavior === "Contiguous" ? match === previous : match && !previous;
    const last = pieces.at(-1);
    if (joins && last !== undefined) last.end = end;
    else pieces.push({ start, end, match });
    previous = match;
  }
  return pieces;
}

function joinedBackwards(found: Part[]): Part[] {
  const pieces: Part[] = [];
  let following = false;
  for (const { start, end, match } of found.reverse()) {
    const last = pieces.at(-1);
    if (match && !following && last !== undefined) last.start = start;
    else pieces.push({ start, end, match });
    following = match;
  }
  return pieces.reverse();
}
