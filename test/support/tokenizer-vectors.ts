import { readFileSync } from "node:fs";
import { sharedPath } from "./shared.ts";

/** Texts and their ids, without BOS, of one of the published vocabularies' vectors. */
export function tokenizerVectors(name: string): { text: string; ids: number[] }[] {
  const path = sharedPath("tokenizers", "vocab", `ggml-vocab-${name}.gguf`);
  const texts = readFileSync(`${path}.inp`, "utf8").split("\n__ggml_vocab_test__\n");
  const lines = readFileSync(`${path}.out`, "utf8").split("\n");
  return texts.map((text, i) => ({
    text,
    ids: lines[i]!.split(" ")
      .filter((id) => id !== "")
      .map(Number),
  }));
}
