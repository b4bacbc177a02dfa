import { KvasirError } from "../../errors.ts";
import { byteLevelBytes, byteTokenValue } from "./byte-level.ts";
import { Component } from "./component.ts";
import { metaspaceOf } from "./metaspace.ts";
import { patternOf } from "./patterns.ts";

/** How the pieces of a vocabulary become the bytes of a text. */
export interface PieceConverter {
  /** The bytes of a token, added or not. */
  bytesOf(piece: string): Uint8Array;
  /** Whether one space at the start of the text is dropped. */
  prefixSpace: boolean;
}

/** What the `decoder` of a tokenizer.json does to single pieces. One that isn't known is refused: text would silently be wrong. */
export function pieceConverter(decoder: unknown, file: string): PieceConverter {
  const steps = Component.chain(decoder, "decoders", "decoder", file);
  if (steps.length === 1 && steps[0]!.type === "ByteLevel") return { bytesOf: byteLevelBytes, prefixSpace: false };
  if (steps.length === 0) throw new KvasirError("UNSUPPORTED_TOKENIZER", `${file}: there is no decoder; kvasir knows ${KNOWN.join(", ")}`);
  const replacements: [string, string][] = [];
  let byteFallback = false;
  let prefixSpace = false;
  for (const step of steps) {
    if (step.type === "Replace") replacements.push(literalReplacement(step));
    else if (step.type === "ByteFallback") byteFallback = true;
    else if (step.type === "Strip") prefixSpace ||= strips(step);
    else if (step.type === "Metaspace") {
      const { replacement, scheme } = metaspaceOf(step);
      replacements.push([replacement, " "]);
      prefixSpace ||= scheme !== "never";
    } else if (step.type !== "Fuse") throw step.unknown(KNOWN);
  }
  return { bytesOf: (piece) => replaceBytes(piece, replacements, byteFallback), prefixSpace };
}

const KNOWN = ["ByteLevel alone", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"];

function replaceBytes(piece: string, replacements: [string, string][], byteFallback: boolean): Uint8Array {
  const byte = byteFallback ? byteTokenValue(piece) : undefined;
  if (byte !== undefined) return Uint8Array.of(byte);
  return Buffer.from(replacements.reduce((text, [from, to]) => text.replaceAll(from, () => to), piece));
}

function literalReplacement(step: Component): [string, string] {
  const { literal } = patternOf(step);
  if (literal === undefined) throw step.unsupported("kvasir knows Replace of a String");
  return [literal, step.string("content")];
}

/** Whether the step drops a prefix space: a Strip of at most one space at the start. Others need the whole text and are refused. */
function strips(step: Component): boolean {
  const [content, start, stop] = [step.character("content"), step.integer("start", 0), step.integer("stop", 0)];
  if (content !== " " || start > 1 || stop > 0) throw step.unsupported("kvasir knows Strip of one space at the start");
  return start === 1;
}
