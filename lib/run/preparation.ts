import { type NativeEngine, nativeError, type StepBuffers, type StepDrafts } from "../native/addon.ts";
import { pack, reserveLogits } from "../native/batch.ts";
import type { Plan } from "../schedule/plan.ts";
import type { Scheduler } from "../schedule/scheduler.ts";
import { type Sequence, wantsLogits } from "../schedule/sequence.ts";
import type { SequenceOwner } from "./owner.ts";

/**
 * What lies between a plan and its submission: slots, room for logits, the plan as arrays. What is refused there ends one request, whose row
 * leaves the plan; arrays that could not grow end all of the step's.
 */
export class Preparation {
  readonly #native: NativeEngine;
  readonly #scheduler: Scheduler;
  readonly #owners: ReadonlyMap<Sequence, SequenceOwner>;
  readonly #limits: { groups: number; vocabSize: number };

  constructor(
    native: NativeEngine,
    scheduler: Scheduler,
    owners: ReadonlyMap<Sequence, SequenceOwner>,
    limits: { groups: number; vocabSize: number },
  ) {
    this.#native = native;
    this.#scheduler = scheduler;
    this.#owners = owners;
    this.#limits = limits;
  }

  /** Writes a plan, which may have no row left then. */
  prepare(plan: Plan, buffers: StepBuffers, drafts: StepDrafts): void {
    this.#giveSlots(plan);
    this.#giveLogits(plan, buffers);
    this.#pack(plan, buffers, drafts);
  }

  /** Tells the native side whose slots the plan's are. Parameters that are refused fail their request. */
  #giveSlots(plan: Plan): void {
    for (let b = 0; b < plan.rowCount; b++) {
      const { sequence } = plan.rows[b]!;
      const owner = this.#owners.get(sequence);
      if (!sequence.slotIsNew || owner === undefined) continue; // without an owner: another choice of its request was refused
      try {
        this.#native.setSlot(sequence.slot, owner.slotConfig(sequence));
        sequence.slotIsNew = false;
      } catch (error) {
        owner.fail(nativeError(error));
      }
    }
    this.#dropEnded(plan);
  }

  /** Makes room for logits. Where there is too little memory, the requests that want them fail, the last by rank first. */
  #giveLogits(plan: Plan, buffers: StepBuffers): void {
    for (let done = false; !done; ) {
      try {
        reserveLogits(plan, buffers, this.#limits.vocabSize);
        done = true;
      } catch (error) {
        const last = plan.rows.slice(0, plan.rowCount).findLast(({ sequence, outputs }) => outputs > 0 && wantsLogits(sequence))!;
        this.#owners.get(last.sequence)!.fail(error);
        this.#dropEnded(plan);
      }
    }
  }

  /** Arrays that could not grow fail the requests of the step. */
  #pack(plan: Plan, buffers: StepBuffers, drafts: StepDrafts): void {
    try {
      pack(plan, buffers, this.#limits.groups, drafts);
    } catch (error) {
      for (const { sequence } of plan.rows.slice(0, plan.rowCount)) this.#owners.get(sequence)?.fail(nativeError(error));
      this.#dropEnded(plan);
    }
  }

  /** Rows of sequences that ended since they were planned leave the plan. */
  #dropEnded(plan: Plan): void {
    for (let b = plan.rowCount - 1; b >= 0; b--) if (plan.rows[b]!.sequence.state === "finished") this.#scheduler.drop(plan, b);
  }
}
