import type { StepCost } from "./cost.ts";
import { Window } from "./window.ts";

/** Steps without guesses that are compared: the latest, half of them from before the steps with guesses and half from after. */
const PLAIN_STEPS = 8;
const CHECK_STEPS = 4;

/** Steps with guesses that are compared: so many in a trial, four times as many each time that it pays, up to a bound. */
const TRIAL_STEPS = 8;
const GROWTH = 4;
const MOST_STEPS = 512;

/** First steps of a trial: all guess one token, whatever is expected of it, which measures what it costs and how often it is right. */
const FORCED_STEPS = 4;

/** The first steps with guesses of all do not count: code is compiled and memory is touched. */
const COLD_STEPS = 2;

/** Fewer steps with guesses say nothing. */
const LEAST_STEPS = 4;

/** So many decisions in a row to guess nothing end a trial, or what followed one that did pay. */
const TRIAL_IDLE = 4;
const PROVEN_IDLE = 32;

/** By how much more has to come for each millisecond. Chosen: what windows without guesses differ by. */
const MARGIN = 1.05;

/** Steps from a trial that failed to the next: twice as many each time. */
const FIRST_PAUSE = 32;
const MOST_PAUSE = 4096;

/** What guesses may lose: this share of all steps, and so many steps besides. Chosen: one trial or two that fail. */
const LOST_SHARE = 0.005;
const LOST_CREDIT = 6;

/** In the very first trial they may lose so much more, in steps. Chosen: a draft model catches up with a prompt of some thousand tokens. */
const FIRST_CREDIT = 24;

/** For so many decisions another number of rows counts as before: one that comes and goes would not be measured in time. */
const SAME_DECISIONS = 4;

/** By how much guesses that were not run have to be right more often than when a trial failed, for the next one to begin at once. */
const RATE_STEP = 0.2;

/** A step that only decoding rows were in. */
export interface MeasuredStep {
  /** Since the step before was done, or since it began where nothing ran before: all that passed. */
  ms: number;
  /** Tokens that it gave. */
  tokens: number;
  /** Rows guessed, or the draft model computed what it lacked. */
  guesses: boolean;
  /** Rows that lacked more than a token or two in the draft model, and the tokens that they may still get. */
  lacking: number;
  left: number;
}

/** Whether rows may guess: not at all, one token each, or as `choose` says. */
export type Permission = "none" | "one" | "chosen";

/** Rows from one power of two to the next. */
interface Bucket {
  phase: "plain" | "guessing" | "checking";
  /** What is compared. */
  readonly plain: Window;
  readonly guessing: Window;
  /** Steps since the phase began: with guesses while it is `guessing`, without otherwise. */
  phaseSteps: number;
  /** All steps, prompts by their time, and those of them in whose time guesses gave nothing. */
  steps: number;
  lost: number;
  /** The latest comparison was in favour of guesses. */
  proven: boolean;
  /** Steps with guesses until they are compared, and those without from a trial that failed to the next. */
  goal: number;
  pause: number;
  /** Decisions in a row to guess nothing. */
  idle: number;
  /** How often guesses that were not run were right at the latest comparison. */
  rate: number;
}

/**
 * Decides whether guessing is on, by what counts: tokens for each millisecond of all that passes, passes of a draft model, gaps between steps
 * and deciding included. A trial is 8 steps with guesses, between steps without. Where it gave 5 % more than those before and after it, guessing
 * is on: for 32 steps until it is compared again, then 128, then 512. Where it did not, guessing is off: for 32 steps, twice as long after each
 * trial in a row that failed, and as long as trials have lost more than 6 steps and 0.5 % of all. A trial that loses so much ends at once; the
 * first of an engine may lose 24 steps more, since a draft model may have much to catch up with. What it computes once to catch up is lost in
 * full, but compared only by the share of the tokens that it serves. All this for each power of two of rows by itself; a new one begins as the
 * last one stood.
 */
export class Governor {
  readonly #cost: StepCost;
  /** By the logarithm of rows. */
  readonly #buckets: Bucket[] = [];
  #bucket: Bucket | undefined;
  /** Decisions in a row for rows of another. */
  #elsewhere = 0;
  #rows = 0;
  #wasGuessing = false;
  #coldSteps = COLD_STEPS;
  #firstCredit = FIRST_CREDIT;

  constructor(cost: StepCost) {
    this.#cost = cost;
  }

  /** A step is to be planned of `rows` rows. `rate`: how often guesses are right that are not run; 0 where there are none such. */
  decide(rows: number, rate: number): Permission {
    this.#rows = rows;
    const bucket = this.#bucketOf(rows);
    this.#turn(bucket, rate);
    const { phase, proven, phaseSteps } = bucket;
    if (phase !== "guessing") return "none";
    return proven || phaseSteps >= FORCED_STEPS ? "chosen" : "one";
  }

  /** Milliseconds that a draft model may take to catch up with the rows: what may still be lost, as long as it is not known to pay. */
  get allowance(): number {
    const bucket = this.#bucket!;
    return bucket.proven ? Number.POSITIVE_INFINITY : this.#allowedMs(bucket) - bucket.guessing.lostInAll(bucket.plain.pace);
  }

  /** Where it was allowed, rows guess now, or none does although some could. */
  decided(guesses: boolean): void {
    this.#bucket!.idle = guesses ? 0 : this.#bucket!.idle + 1;
  }

  /** A step is done. What runs after guesses could not overlap with them: it counts with them. */
  add({ ms, tokens, guesses, lacking, left }: MeasuredStep): void {
    const bucket = this.#bucket;
    const isGuessing = guesses || this.#wasGuessing;
    this.#wasGuessing = guesses;
    if (bucket === undefined) return;
    bucket.steps += 1;
    if (lacking === 0 && guesses === (bucket.phase === "guessing")) bucket.phaseSteps += 1;
    if (isGuessing && lacking === 0 && this.#coldSteps > 0) {
      this.#coldSteps -= 1;
      return;
    }
    const rows = isGuessing ? this.#rows : tokens;
    const worth = (tokens * this.#cost.plainMs(rows)) / rows;
    if (!(worth >= 0)) return;
    if (!isGuessing) bucket.plain.add(ms, worth, tokens);
    else if (lacking > 0) bucket.guessing.addOnce(Math.max(0, ms - worth), lacking / rows / left);
    else bucket.guessing.add(ms, worth, tokens);
  }

  /** Prompts ran for `ms`: what comes next is not compared with what was before. */
  skip(ms: number): void {
    this.#wasGuessing = false;
    if (this.#bucket !== undefined) this.#bucket.steps += this.#plainSteps(ms);
  }

  /** How many steps without guesses take `ms`; 0 while that isn't known. */
  #plainSteps(ms: number): number {
    const plainMs = this.#cost.plainMs(this.#rows);
    return plainMs > 0 ? ms / plainMs : 0;
  }

  /** A number of rows counts to the bucket before until it stays. */
  #bucketOf(rows: number): Bucket {
    const index = Math.floor(Math.log2(rows));
    this.#elsewhere = this.#buckets[index] === this.#bucket ? 0 : this.#elsewhere + 1;
    if (this.#bucket !== undefined && this.#elsewhere < SAME_DECISIONS) return this.#bucket;
    this.#buckets[index] ??= newBucket(this.#bucket?.proven ?? false);
    this.#bucket = this.#buckets[index]!;
    return this.#bucket;
  }

  /** What may still be lost. */
  #allowedMs(bucket: Bucket): number {
    return (allowedSteps(bucket) + this.#firstCredit) * this.#cost.plainMs(this.#rows);
  }

  /** There is enough to compare, nobody guesses any more, or it has cost too much. */
  #isDone(bucket: Bucket): boolean {
    const { guessing, plain, goal, idle, proven } = bucket;
    if (guessing.count >= goal || idle >= (proven ? PROVEN_IDLE : TRIAL_IDLE)) return true;
    return proven ? guessing.lost(plain.pace) > this.#allowedMs(bucket) : this.allowance < 0;
  }

  /** The next phase, where it is time. What made steps with guesses slow may be over by the next trial: they are measured anew. */
  #turn(bucket: Bucket, rate: number): void {
    const { phase, phaseSteps } = bucket;
    if (phase === "checking" && phaseSteps >= CHECK_STEPS) this.#judge(bucket, rate);
    else if (phase === "guessing" && this.#isDone(bucket)) this.#begin(bucket, "checking");
    else if (phase === "plain" && isDue(bucket, rate)) {
      this.#begin(bucket, "guessing");
      this.#cost.forgetAbove(2 * this.#rows);
    }
  }

  #begin(bucket: Bucket, phase: Bucket["phase"]): void {
    bucket.phase = phase;
    bucket.phaseSteps = 0;
    bucket.idle = 0;
  }

  #judge(bucket: Bucket, rate: number): void {
    const { plain, guessing } = bucket;
    const { pace } = plain;
    bucket.proven = guessing.count >= LEAST_STEPS && pace > MARGIN * guessing.pace;
    bucket.lost = Math.max(0, bucket.lost + this.#plainSteps(guessing.lostInAll(pace) / pace) || 0);
    bucket.goal = bucket.proven ? Math.min(GROWTH * bucket.goal, MOST_STEPS) : TRIAL_STEPS;
    bucket.pause = bucket.proven ? 0 : Math.min(Math.max(2 * bucket.pause, FIRST_PAUSE), MOST_PAUSE);
    bucket.rate = rate;
    this.#firstCredit = 0;
    guessing.clear();
    this.#begin(bucket, bucket.proven ? "guessing" : "plain");
  }
}

function newBucket(proven: boolean): Bucket {
  return {
    phase: proven ? "guessing" : "plain",
    plain: new Window(PLAIN_STEPS),
    guessing: new Window(Number.POSITIVE_INFINITY),
    phaseSteps: 0,
    steps: 0,
    lost: 0,
    proven,
    goal: TRIAL_STEPS,
    pause: PLAIN_STEPS,
    idle: 0,
    rate: 0,
  };
}

/** Steps that may still be lost. */
function allowedSteps({ steps, lost }: Bucket): number {
  return LOST_CREDIT + LOST_SHARE * steps - lost;
}

function isDue(bucket: Bucket, rate: number): boolean {
  const waited = bucket.phaseSteps >= bucket.pause || (bucket.phaseSteps >= PLAIN_STEPS && rate > bucket.rate + RATE_STEP);
  return waited && allowedSteps(bucket) > 0;
}
