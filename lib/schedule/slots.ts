import { checkInteger } from "../check.ts";
import { invariant } from "./pages.ts";
import type { Sequence } from "./sequence.ts";

/** The native side's slots: each is one sequence's, which samples from the state that lies there. */
export class Slots {
  readonly #count: number;
  readonly #free: number[];

  constructor(count: number) {
    this.#count = checkInteger("maxSlots", count, 1, 2 ** 20);
    this.#free = Array.from({ length: count }, (_, i) => count - 1 - i);
  }

  /** How many nobody has. */
  get free(): number {
    return this.#free.length;
  }

  /** Gives a sequence a free one. */
  take(sequence: Sequence): void {
    sequence.slot = this.#free.pop()!;
    sequence.slotIsNew = true;
  }

  /** Takes a sequence's slot back, if it has one. */
  giveBack(sequence: Sequence): void {
    if (sequence.slot === -1) return;
    this.#free.push(sequence.slot);
    sequence.slot = -1;
    sequence.slotIsNew = false;
  }

  /** Throws INTERNAL unless each slot is free or that of one of `sequences`. */
  check(sequences: readonly Sequence[]): void {
    const held = sequences.map(({ slot }) => slot).filter((slot) => slot !== -1);
    const slots = held.concat(this.#free);
    invariant(new Set(slots).size === this.#count && slots.length === this.#count, "a slot is lost or given twice");
  }
}

/**
 * A token that a processor has yet to choose is sampled from the state of the sequence's slot, which a preempted one therefore keeps until
 * the token settles. Any other submitted row has been there before the slot's next owner: calls run in order.
 */
export function keepsSlot({ options, sampling }: Sequence): boolean {
  return options.output === "logits" && sampling > 0;
}
