import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { invalid } from "../check.ts";
import { KvasirError } from "../errors.ts";

/** Where the hub is and how it is asked. */
export interface HubSettings {
  /** Its address, without a final slash. */
  endpoint: string;
  /** Sent to the endpoint's origin and nowhere else. */
  token: string | undefined;
  /** The folder of Hugging Face's cache: `.../hub`. */
  cache: string;
  /** Nothing is asked: what isn't in the cache is an error. */
  offline: boolean;
  pace: Pace;
}

/** Sizes and times of downloads. */
export interface Pace {
  /** Bytes of a range. */
  partBytes: number;
  /** Ranges at once. */
  connections: number;
  /** Attempts in a row that get nothing. */
  attempts: number;
  /** Wait after the first of them; it doubles with each. */
  retryMs: number;
  /** Longest silence of a connection. */
  silenceMs: number;
  /** A lock whose owner gives no sign for so long is another's. */
  staleMs: number;
}

/**
 * All chosen. Ranges: some seconds each on a good line, so that an hour's download asks a thousand times; eight of them fill lines that one
 * connection doesn't. Five attempts take some eight seconds. Silence: beyond what storage takes to wake up. A lock's owner gives a sign ten
 * times in its time.
 */
const PACE: Pace = { partBytes: 1 << 26, connections: 8, attempts: 5, retryMs: 500, silenceMs: 60_000, staleMs: 60_000 };

/** Settings from Hugging Face's environment variables, as its own library reads them. */
export async function hubSettings(env: NodeJS.ProcessEnv = process.env, pace: Partial<Pace> = {}): Promise<HubSettings> {
  const home = expand(env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface"));
  return {
    endpoint: endpointOf(env.HF_ENDPOINT || "https://huggingface.co"),
    token: checkToken(env.HF_TOKEN?.trim() || (await tokenIn(expand(env.HF_TOKEN_PATH || join(home, "token"))))),
    cache: resolve(expand(env.HF_HUB_CACHE || join(home, "hub"))),
    offline: /^(1|on|yes|true)$/i.test(env.HF_HUB_OFFLINE ?? ""),
    pace: { ...PACE, ...pace },
  };
}

function expand(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (!plain || !/^https?:$/.test(url.protocol)) throw invalid("HF_ENDPOINT", text, "an address such as https://huggingface.co");
  return url.href.replace(/\/+$/, "");
}

/** A file that isn't there or may not be read has no token. */
async function tokenIn(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trim() || undefined;
}

/** The message doesn't show it: it is a secret. */
function checkToken(token: string | undefined): string | undefined {
  if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
  throw new KvasirError(
    "INVALID_ARGUMENT",
    "the token of HF_TOKEN (or of the file where it is kept) has other characters than ASCII's visible ones",
  );
}
