/** Imported before all else: an older Node would fail somewhere, at what it lacks. */
import { isOlder } from "./versions.ts";

/** The oldest Node that kvasir runs on, as package.json's `engines` has it. */
export const OLDEST_NODE = "20.19";

if (isOlder(process.versions.node, OLDEST_NODE))
  throw new Error(`kvasir: Node.js is ${process.versions.node}; expected ${OLDEST_NODE} or later`);
