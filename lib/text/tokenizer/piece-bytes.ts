import { KvasirError, show } from "../../errors.ts";
import { byteLevelBytes, byteTokenValue } from "./byte-level.ts";
import { flatten, type Json } from "./tokenizer-json.ts";

/** How tokens become text. */
export interface PieceDecoder {
  /** The bytes of a token of the vocabulary. */
  bytes(piece: string): Uint8Array;
  /** Whether added tokens' texts go through the decoder, too. */
  decodesAdded: boolean;
  /** Whether one space at the start of the text is dropped. */
  prefixSpace: boolean;
}

/** The decoder of a tokenizer.json. One that isn't known is refused: text would silently be wrong. */
export function pieceDecoder(decoder: Json | null, file: string): PieceDecoder {
  const steps = flatten(decoder, "decoders");
  if (steps.length === 1 && steps[0]!.type === "ByteLevel") return { bytes: byteLevelBytes, decodesAdded: false, prefixSpace: false };
  if (steps.length === 0) throw unsupported(file, decoder);
  const replacements: [string, string][] = [];
  let byteFallback = false;
  let prefixSpace = false;
  for (const step of steps) {
    if (step.type === "Replace") replacements.push(replacement(step, file));
    else if (step.type === "ByteFallback") byteFallback = true;
    else if (step.type === "Strip") prefixSpace ||= strips(step, file);
    else if (step.type === "Metaspace") {
      replacements.push([typeof step.replacement === "string" ? step.replacement : "▁", " "]);
      prefixSpace ||= prependsSpace(step);
    } else if (step.type !== "Fuse") throw unsupported(file, step);
  }
  return { bytes: (piece) => replaceBytes(piece, replacements, byteFallback), decodesAdded: true, prefixSpace };
}

function replaceBytes(piece: string, replacements: [string, string][], byteFallback: boolean): Uint8Array {
  const byte = byteFallback ? byteTokenValue(piece) : undefined;
  if (byte !== undefined) return Uint8Array.of(byte);
  return Buffer.from(replacements.reduce((text, [from, to]) => text.replaceAll(from, () => to), piece));
}

function replacement(step: Json, file: string): [string, string] {
  const from = (step.pattern as { String?: unknown } | undefined)?.String;
  if (typeof from !== "string" || typeof step.content !== "string") throw unsupported(file, step);
  return [from, step.content];
}

/** Strip of at most one space at the start is the prefix space; other strips would need the whole text. */
function strips(step: Json, file: string): boolean {
  if (step.content !== " " || (step.start !== 0 && step.start !== 1) || step.stop !== 0) throw unsupported(file, step);
  return step.start === 1;
}

/** Metaspace of either dialect: `prepend_scheme`, or `add_prefix_space` of older files. */
function prependsSpace(step: Json): boolean {
  return (step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always")) !== "never";
}

function unsupported(file: string, step: Json | null): KvasirError {
  const known = "ByteLevel, Metaspace and sequences of Replace, ByteFallback, Fuse and Strip";
  return new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: decoder ${show(step)} is not known; kvasir reads ${known}`);
}
