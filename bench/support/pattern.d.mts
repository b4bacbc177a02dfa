import type { Sequence } from "../../lib/schedule/sequence.ts";
import type { Proposer } from "../../lib/speculate/proposer.ts";

export class Pattern implements Proposer {
  constructor(proposer: Proposer, rate: number, known: readonly ArrayLike<number>[]);
  get most(): number;
  get drafts(): boolean;
  propose(sequence: Sequence, most: number): number;
  lack(sequence: Sequence): number;
  ended(sequence: Sequence): void;
}
