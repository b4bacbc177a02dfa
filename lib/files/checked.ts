import { KvasirError, show } from "../errors.ts";

/**
 * Every size that a file declares goes through these two: numbers of untrusted origin are added and multiplied only here.
 * A result that a double does not hold exactly is refused; no file is that large.
 */

/** The product of sizes, or FILE_INVALID. `what` names it in the message. */
export function checkedProduct(what: string, ...factors: number[]): number {
  return checked(
    what,
    factors.reduce((product, factor) => product * checked(what, factor), 1),
  );
}

/** The sum of sizes, or FILE_INVALID. */
export function checkedSum(what: string, ...terms: number[]): number {
  return checked(
    what,
    terms.reduce((sum, term) => sum + checked(what, term), 0),
  );
}

function checked(what: string, value: number): number {
  // One test of a result suffices: rounding begins above 2^53, and a product that was there comes back only by a factor of 0.
  if (!Number.isSafeInteger(value) || value < 0)
    throw new KvasirError("FILE_INVALID", `${what} is ${show(value)}; expected a size below 2^53`);
  return value;
}
