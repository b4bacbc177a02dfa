// Guesses of a given rate of acceptance, for benchmarks and tests: who knows what a request will be given can guess it, right or wrong by a
// fixed pseudo-random pattern. All else is done as always: the proposer whose place this takes does its work, and its guesses are replaced.
export class Pattern {
  #proposer;
  #rate;
  #known;

  /** `known`: tokens, prompt and output, of requests that ran before; those that begin like a sequence say how it goes on. */
  constructor(proposer, rate, known) {
    this.#proposer = proposer;
    this.#rate = rate;
    this.#known = known;
  }

  get most() {
    return this.#proposer.most;
  }

  get drafts() {
    return this.#proposer.drafts;
  }

  propose(sequence, most) {
    const proposed = this.#proposer.propose(sequence, most);
    if (this.drafts && proposed === 0) return 0; // the model is behind
    const { length, sampling } = sequence;
    const whole = this.#known.find((tokens) => isPrefix(sequence, tokens));
    const from = length + sampling;
    const count = Math.min(this.drafts ? proposed : most, (whole?.length ?? 0) - from);
    if (count <= 0) return 0;
    for (let p = from; p < from + count; p++) sequence.tokens[p] = isRight(p, this.#rate) ? whole[p] : whole[p] ^ 1;
    return count;
  }

  lack(sequence) {
    return this.#proposer.lack(sequence);
  }

  ended(sequence) {
    this.#proposer.ended(sequence);
  }
}

function isPrefix({ tokens, length }, whole) {
  if (whole.length < length) return false;
  for (let i = length - 1; i >= 0; i--) if (tokens[i] !== whole[i]) return false;
  return true;
}

/** Of each BLOCK positions in a row a share of `rate` is right: those whose hashes are least. */
const BLOCK = 20;
function isRight(position, rate) {
  const first = position - (position % BLOCK);
  let rank = 0;
  for (let other = first; other < first + BLOCK; other++) if (hash(other) < hash(position)) rank += 1;
  return rank < Math.round(rate * BLOCK);
}

/** The finalizer of MurmurHash3. */
function hash(position) {
  let h = Math.imul((position + 1) ^ (position >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
