import { isObject } from "../check.ts";
import { KvasirError, show } from "../errors.ts";
import type { HubClient } from "./client.ts";
import { type HubName, isCommit, isInside } from "./names.ts";
import { retrying, Transient } from "./retry.ts";
import type { Pace } from "./settings.ts";

/** A file of a repository. */
export interface HubFile {
  /** Its path in the repository, with slashes. */
  path: string;
  /** Bytes. */
  size: number;
  /** What its blob is called in the cache, and its checksum: SHA-256 of a large file, git's SHA-1 of a small one; hex. */
  hash: string;
}

/** What a repository has at a revision. */
export interface Listing {
  commit: string;
  files: HubFile[];
}

/** Largest listing that is read. Chosen: repositories with thousands of files take about a megabyte. */
const MAX_BYTES = 1 << 26;

/** Asks the hub once which commit a revision is and what files it has. */
export async function listFiles(client: HubClient, name: HubName, pace: Pace, signal: AbortSignal | undefined): Promise<Listing> {
  const path = `/api/models/${name.id}/revision/${encodeURIComponent(name.revision)}?blobs=true`;
  return retrying(pace, signal, async () => {
    const answer = await client.get(path, undefined, signal);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of answer.chunks()) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw new KvasirError("DOWNLOAD_FAILED", `${answer.place} sent a listing of more than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return listingOf(parse(Buffer.concat(chunks).toString(), answer.place), answer.place);
  });
}

/** A page in place of JSON is a portal's or a proxy's, most often. */
function parse(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Transient(`${place} sent ${show(text)}; expected the listing of a repository in JSON`, { cause });
  }
}

function listingOf(value: unknown, place: string): Listing {
  const { sha, siblings } = isObject(value) ? value : {};
  if (typeof sha !== "string" || !isCommit(sha) || !Array.isArray(siblings))
    throw new KvasirError("DOWNLOAD_FAILED", `${place} sent ${show(value)}; expected the commit and the files of a repository`);
  return { commit: sha, files: siblings.map((sibling) => fileOf(sibling, place)) };
}

/** A file of the listing; one whose path would lead out of its folder is an attack. */
function fileOf(sibling: unknown, place: string): HubFile {
  const { rfilename: path, blobId, size, lfs } = isObject(sibling) ? sibling : {};
  const large = isObject(lfs) ? lfs : undefined;
  const file = { path, size: large?.size ?? size, hash: large?.sha256 ?? blobId };
  if (isHubFile(file)) return file;
  throw new KvasirError(
    "DOWNLOAD_FAILED",
    `${place} lists the file ${show(file)}; expected a path inside the repository, a size and a hash`,
  );
}

function isHubFile(file: { path: unknown; size: unknown; hash: unknown }): file is HubFile {
  const { path, size, hash } = file;
  const isHash = typeof hash === "string" && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(hash);
  return typeof path === "string" && isInside(path) && Number.isSafeInteger(size) && (size as number) >= 0 && isHash;
}
