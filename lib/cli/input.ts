import { createReadStream } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import { MAX_TEXT } from "../check.ts";
import { KvasirError } from "../errors.ts";
import { fileError } from "../files/paths.ts";

/** All of stdin. */
export function readStdin(signal: AbortSignal): Promise<string> {
  return readAll(process.stdin, "stdin", signal);
}

/** The text of a file. */
export function readFileText(path: string, signal: AbortSignal): Promise<string> {
  return readAll(createReadStream(path), path, signal);
}

/** No more is read than an engine takes: some files and pipes have no end. */
async function readAll(stream: Readable, name: string, signal: AbortSignal): Promise<string> {
  let text = "";
  try {
    for await (const piece of addAbortSignal(signal, stream.setEncoding("utf8"))) {
      text += piece;
      if (text.length > MAX_TEXT) break;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw fileError(name, cause);
  }
  if (text.length > MAX_TEXT)
    throw new KvasirError("INVALID_ARGUMENT", `${name} has more than ${MAX_TEXT} characters, the most that is read`);
  return text;
}
