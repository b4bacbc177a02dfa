import { rank } from "./queue.ts";
import { pendingTokens, type Sequence, wantsLogits } from "./sequence.ts";

/**
 * Shares out the tokens whose logits a step gives, `most` in all: sets `logitRows` of those that run. One is the first's by rank, which must
 * not stop. The others go by priority, then to those first that have had none for longest, so that all take turns. A prompt that may not end
 * in the step comes last: where nothing is left it ends one token sooner, and that one waits for its turn.
 *
 * `candidates` is room for this function, empty before and after.
 */
export function takeLogitTurns(running: readonly Sequence[], most: number, candidates: Sequence[]): void {
  if (most === Number.POSITIVE_INFINITY) return;
  for (const sequence of running) {
    sequence.logitRows = Number.POSITIVE_INFINITY;
    if (wantsLogits(sequence) && pendingTokens(sequence) > 0) candidates.push(sequence);
  }
  const [first] = candidates;
  let left = most - 1;
  for (const sequence of candidates.sort(byTurn)) {
    const wanted = sequence.options.output === "score" ? pendingTokens(sequence) : 1;
    const own = sequence === first ? 1 : 0;
    sequence.logitRows = own + Math.min(wanted - own, left);
    left -= sequence.logitRows - own;
  }
  candidates.length = 0;
}

function byTurn(a: Sequence, b: Sequence): number {
  const byPriority = b.options.priority - a.options.priority;
  return byPriority || Number(mayNotEnd(a)) - Number(mayNotEnd(b)) || a.logitStep - b.logitStep || rank(a, b);
}

const mayNotEnd = (sequence: Sequence): boolean => sequence.options.output !== "score" && pendingTokens(sequence) > 1;
