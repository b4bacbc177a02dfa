import { KvasirError, show } from "../../errors.ts";
import { byteLevelBytes, byteTokenValue } from "./byte-level.ts";
import { type ComponentJson, flatten } from "./tokenizer-json.ts";

/** How the pieces of a vocabulary become the bytes of a text. */
export interface PieceConverter {
  /** The bytes of a token of the vocabulary. */
  bytesOf(piece: string): Uint8Array;
  /** Whether added tokens' texts are converted, too. */
  convertsAdded: boolean;
  /** Whether one space at the start of the text is dropped. */
  prefixSpace: boolean;
}

/** What the `decoder` of a tokenizer.json does to single pieces. One that isn't known is refused: text would silently be wrong. */
export function pieceConverter(decoder: ComponentJson | null, file: string): PieceConverter {
  const steps = flatten(decoder, "decoders");
  if (steps.length === 1 && steps[0]!.type === "ByteLevel") return { bytesOf: byteLevelBytes, convertsAdded: false, prefixSpace: false };
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
  return { bytesOf: (piece) => replaceBytes(piece, replacements, byteFallback), convertsAdded: true, prefixSpace };
}

function replaceBytes(piece: string, replacements: [string, string][], byteFallback: boolean): Uint8Array {
  const byte = byteFallback ? byteTokenValue(piece) : undefined;
  if (byte !== undefined) return Uint8Array.of(byte);
  return Buffer.from(replacements.reduce((text, [from, to]) => text.replaceAll(from, () => to), piece));
}

function replacement(step: ComponentJson, file: string): [string, string] {
  const from = (step.pattern as { String?: unknown } | undefined)?.String;
  if (typeof from !== "string" || typeof step.content !== "string") throw unsupported(file, step);
  return [from, step.content];
}

/** Whether the step drops a prefix space: a Strip of at most one space at the start. Others need the whole text and are refused. */
function strips(step: ComponentJson, file: string): boolean {
  if (step.content !== " " || (step.start !== 0 && step.start !== 1) || step.stop !== 0) throw unsupported(file, step);
  return step.start === 1;
}

/** Metaspace of either dialect: `prepend_scheme`, or `add_prefix_space` of older files. */
function prependsSpace(step: ComponentJson): boolean {
  return (step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always")) !== "never";
}

function unsupported(file: string, step: ComponentJson | null): KvasirError {
  const known = "ByteLevel, Metaspace and sequences of Replace, ByteFallback, Fuse and Strip";
  return new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: decoder ${show(step)} is not known; kvasir reads ${known}`);
}
