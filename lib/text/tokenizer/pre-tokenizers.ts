import { toByteLevel } from "./byte-level.ts";
import { Component } from "./component.ts";
import { metaspaceOf } from "./metaspace.ts";
import { tooLong } from "./normalizers.ts";
import { type Pattern, patternOf, scriptPattern } from "./patterns.ts";
import { REFUSALS } from "./refusals.ts";
import { BEHAVIORS, type Behavior, keepsText, split } from "./split.ts";

/** Changes or cuts pieces of a text. `first`: the text begins the sequence. */
type Step = (pieces: string[], limit: number, first: boolean) => string[];

/** How a text is cut into the words that the model sees. */
export interface PreTokenizer {
  /** Throws TOKENIZER_FAILED rather than make more than `limit` UTF-16 units. */
  cut(text: string, first: boolean, limit: number): string[];
  /** Whether the words are still text, which the model has to write as bytes: the last step of most byte-level tokenizers, left to it for speed. */
  bytesLast: boolean;
  /** Whether the words are bytes, each as a character, in the end; `undefined` if the text was only cut. */
  bytes: boolean | undefined;
  /** Whether all of the text is in the words. */
  keeps: boolean;
}

/** GPT-2's words, as ByteLevel has them; `\s` is Unicode's white space. */
const WORDS = scriptPattern(
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu,
);
const SPACE = scriptPattern(/\p{White_Space}/gu);
const NUMERIC = scriptPattern(/\p{N}/gu);
const PUNCTUATION = scriptPattern(/[\p{P}$+<=>^`|~]/gu);
/** `\w+|[^\w\s]+` with Rust's `\w`. */
const WORD_OR_SIGNS = scriptPattern(
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
);

/** A component as its steps. */
interface Compiled {
  steps: Step[];
  /** Whether its result is bytes; `undefined` for one that only cuts. */
  bytes?: boolean;
  keeps?: boolean;
}

const PRE_TOKENIZERS: Record<string, (component: Component) => Compiled> = {
  ByteLevel: byteLevel,
  Metaspace: metaspace,
  Split: (component) => cutting(patternOf(component), component.oneOf("behavior", BEHAVIORS), component.boolean("invert", false)),
  Whitespace: () => cutting(WORD_OR_SIGNS, "Removed", true),
  WhitespaceSplit: () => cutting(SPACE, "Removed"),
  BertPreTokenizer: () => ({ steps: [splitStep(SPACE, "Removed"), splitStep(PUNCTUATION, "Isolated")], keeps: false }),
  Punctuation: (component) => cutting(PUNCTUATION, component.oneOf("behavior", BEHAVIORS, "Isolated")),
  Digits: (component) => cutting(NUMERIC, component.boolean("individual_digits") ? "Isolated" : "Contiguous"),
  CharDelimiterSplit: (component) => cutting(literal(component.character("delimiter")), "Removed"),
  FixedLength: (component) => cutting(scriptPattern(new RegExp(`.{1,${component.integer("length", 1)}}`, "gsu")), "Isolated"),
};

/** The pre-tokenizer of a tokenizer.json, which may be absent. `normalizerKeeps`: no text vanishes before it. */
export function compilePreTokenizer(json: unknown, normalizerKeeps: boolean, file: string): PreTokenizer {
  const parts = Component.chain(json, "pretokenizers", "pre_tokenizer", file).map((component, i) => {
    // Where the text began would have to be known of every piece, through all that was dropped or inserted.
    if (component.json.prepend_scheme === "first" && (i > 0 || !normalizerKeeps)) throw component.unsupported(REFUSALS.firstBehindCuts);
    const make = Object.hasOwn(PRE_TOKENIZERS, component.type) ? PRE_TOKENIZERS[component.type] : undefined;
    if (make === undefined) throw component.unknown(Object.keys(PRE_TOKENIZERS));
    return make(component);
  });
  const steps = parts.flatMap((part) => part.steps);
  const bytesLast = steps.at(-1) === writeBytes;
  if (bytesLast) steps.pop();
  return {
    cut: (text, first, limit) => steps.reduce((pieces, step) => step(pieces, limit, first), [text]),
    bytesLast,
    bytes: parts.findLast(({ bytes }) => bytes !== undefined)?.bytes,
    keeps: parts.every((part) => part.keeps ?? true),
  };
}

function cutting(pattern: Pattern, behavior: Behavior, invert = false): Compiled {
  return { steps: [splitStep(pattern, behavior, invert)], keeps: keepsText(behavior) };
}

function literal(text: string): Pattern {
  return scriptPattern(new RegExp(`[\\u{${text.codePointAt(0)!.toString(16)}}]`, "gu"));
}

function splitStep(pattern: Pattern, behavior: Behavior, invert = false): Step {
  return (pieces) => {
    const cut: string[] = [];
    for (const piece of pieces) split(piece, pattern, behavior, invert, cut);
    return cut;
  };
}

function byteLevel(component: Component): Compiled {
  const steps: Step[] = [];
  if (component.boolean("add_prefix_space")) steps.push(changeStep((text) => (text.startsWith(" ") ? text : ` ${text}`)));
  if (component.boolean("use_regex", true)) steps.push(splitStep(WORDS, "Isolated"));
  return { steps: [...steps, writeBytes], bytes: true };
}

const writeBytes: Step = changeStep(toByteLevel);

function metaspace(component: Component): Compiled {
  const { replacement: space, scheme } = metaspaceOf(component);
  const prefixed = changeStep((piece, first) => {
    const text = piece.replaceAll(" ", () => space);
    return text.startsWith(space) || scheme === "never" || (scheme === "first" && !first) ? text : space + text;
  });
  const steps = component.boolean("split", true) ? [prefixed, splitStep(literal(space), "MergedWithNext")] : [prefixed];
  return { steps, bytes: false };
}

/** A step that changes each piece. */
function changeStep(change: (piece: string, first: boolean) => string): Step {
  return (pieces, limit, first) => {
    let length = 0;
    return pieces.map((piece) => {
      const changed = change(piece, first);
      length += changed.length;
      if (length > limit) throw tooLong(limit);
      return changed;
    });
  };
}
