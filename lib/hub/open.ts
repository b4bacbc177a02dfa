import { join } from "node:path";
import { memoryBytes } from "../api/memory.ts";
import { KvasirError, KvasirWarning, type Warn } from "../errors.ts";
import { checkRuns, shardsIn } from "../model/open.ts";
import { type Download, downloadBlob } from "./blob.ts";
import { RepositoryCache } from "./cache.ts";
import { chooseGguf, isText, isWeights, type SizedFile } from "./choose.ts";
import { HubClient } from "./client.ts";
import { type HubFile, type Listing, listFiles } from "./listing.ts";
import { type HubName, isCommit, showName } from "./names.ts";
import { atOnce } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

/** How far a model's download or loading is. */
export interface OpenProgress {
  phase: "download" | "load";
  loadedBytes: number;
  totalBytes: number;
}

/** What a model of the hub is wanted for. */
export interface HubRequest {
  /** Its text side will do: no .safetensors. */
  textOnly: boolean;
  /** A hub that can't be reached is a warning where the cache has the model. */
  warn: Warn;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: OpenProgress) => void) | undefined;
}

/** Small files at once. Chosen: all that most models have. */
const SMALL_AT_ONCE = 8;

/** Share of the memory that weights may take where a .gguf is chosen by size: the cache takes a quarter at most. */
export const WEIGHTS_SHARE = 0.75;

/** Gets what a model needs into the cache, as far as it isn't there. Returns the path that opens it: a directory or a .gguf. */
export async function openFromHub(name: HubName, settings: HubSettings, request: HubRequest): Promise<string> {
  const { pace } = settings;
  const cache = new RepositoryCache(settings.cache, name.id);
  const client = new HubClient(settings, name);
  const found = await cached(cache, name, request);
  if (settings.offline) return orOffline(found, name, settings);
  const isThere = typeof found === "string";
  if (isThere && isCommit(name.revision)) return found;
  let listing: Listing;
  try {
    listing = await listFiles(client, name, { ...pace, attempts: isThere ? 1 : pace.attempts }, request.signal);
  } catch (error) {
    return orCached(error, found, name, request.warn);
  }
  return fetchModel(
    { client, cache, id: name.id, commit: listing.commit, pace, signal: request.signal, report: () => {} },
    listing,
    name,
    request,
  );
}

/** What is to be fetched, and the file in its snapshot that opens the model: the snapshot itself for a directory. */
interface Plan {
  files: HubFile[];
  entry: string;
}

async function fetchModel(download: Download, listing: Listing, name: HubName, request: HubRequest): Promise<string> {
  const { cache, commit } = download;
  const gguf = choose(listing.files, name, request);
  const { files, entry } =
    gguf === undefined ? await planDirectory(download, listing, name, request) : { files: gguf, entry: gguf[0]!.path };
  const fetched = await fetchFiles(download, files, request.onProgress);
  const remembered = cache.remember(name.revision, commit);
  // A cache that can only be read may be older than what it has.
  await (fetched ? remembered : remembered.catch(() => {}));
  return join(cache.snapshot(commit), entry);
}

/** The .gguf to open; `undefined` for a directory, which has text alone where weights would go unread. */
function choose<File extends SizedFile>(files: readonly File[], name: HubName, { textOnly }: HubRequest): File[] | undefined {
  const hasTextAlone = files.some(({ path }) => path === "tokenizer.json") && !files.some(({ path }) => path.endsWith(".gguf"));
  return textOnly && hasTextAlone ? undefined : chooseGguf(files, name, memoryForWeights());
}

/** Settings come first: whether the model runs, and which files have the weights, is known before gigabytes are fetched. */
async function planDirectory(download: Download, { files }: Listing, name: HubName, { textOnly }: HubRequest): Promise<Plan> {
  const { cache, commit } = download;
  const text = files.filter(({ path }) => isText(path));
  if (textOnly) return { files: text, entry: "." };
  const single = files.find(({ path }) => path === "model.safetensors");
  const head = files.filter(({ path }) => path === "config.json" || (single === undefined && isWeights(path)));
  await fetchFiles(download, head, undefined);
  const snapshot = cache.snapshot(commit);
  await checkRuns(snapshot);
  const shards = single === undefined ? await shardsIn(snapshot) : [single.path];
  const weights = shards.map((shard) => fileAt(files, shard, name));
  return { files: [...new Set([...head, ...text, ...weights])], entry: "." };
}

function fileAt(files: readonly HubFile[], path: string, name: HubName): HubFile {
  const file = files.find((file) => file.path === path);
  if (file === undefined) throw new KvasirError("MODEL_NOT_FOUND", `${showName(name)} lacks ${path}, which its index names`);
  return file;
}

/** Gets files into a snapshot; returns whether any was missing. */
async function fetchFiles(download: Download, files: readonly HubFile[], onProgress: HubRequest["onProgress"]): Promise<boolean> {
  const { cache, commit, pace } = download;
  const there = await Promise.all(files.map((file) => cache.hasFile(commit, file)));
  const missing = files.filter((_, index) => !there[index]);
  if (missing.length === 0) return false;
  const totalBytes = bytesOf(files);
  let loadedBytes = totalBytes - bytesOf(missing);
  const report = (bytes: number): void => {
    loadedBytes += bytes;
    onProgress?.({ phase: "download", loadedBytes, totalBytes });
  };
  const present = await Promise.all(missing.map((file) => cache.hasBlob(file)));
  await cache.prepare(missing.filter((_, index) => !present[index]));
  const fetchFile = async (file: HubFile, signal: AbortSignal | undefined): Promise<void> => {
    if (await cache.hasBlob(file)) report(file.size);
    else await downloadBlob({ ...download, signal, report }, file);
    await cache.link(commit, file);
  };
  // A large file has many connections of its own.
  await atOnce(
    missing.filter(({ size }) => size <= pace.partBytes),
    SMALL_AT_ONCE,
    download.signal,
    fetchFile,
  );
  for (const file of missing) if (file.size > pace.partBytes) await fetchFile(file, download.signal);
  return true;
}

function bytesOf(files: readonly SizedFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** Bytes that weights may take, of the machine's memory or the container's. */
function memoryForWeights(): number {
  return WEIGHTS_SHARE * memoryBytes();
}

/** The path of a model that the cache has whole; an error that says what it lacks, otherwise. */
async function cached(cache: RepositoryCache, name: HubName, request: HubRequest): Promise<string | KvasirError> {
  const commit = await cache.commitOf(name.revision);
  const snapshot = commit === undefined ? undefined : cache.snapshot(commit);
  const files = commit === undefined ? [] : await cache.files(commit);
  try {
    if (snapshot === undefined || files.length === 0) throw new KvasirError("OFFLINE", `${cache.folder} has no revision ${name.revision}`);
    const gguf = choose(files, name, request);
    if (gguf !== undefined) return join(snapshot, gguf[0]!.path);
    const has = (path: string): boolean => files.some((file) => file.path === path);
    const shards = has("model.safetensors") || request.textOnly ? [] : await shardsIn(snapshot);
    const lacking = [request.textOnly ? "tokenizer.json" : "config.json", ...shards].find((path) => !has(path));
    if (lacking === undefined) return snapshot;
    throw new KvasirError("OFFLINE", `${snapshot} lacks ${lacking}`);
  } catch (error) {
    if (error instanceof KvasirError) return error;
    throw error;
  }
}

function orOffline(found: string | KvasirError, name: HubName, { cache }: HubSettings): string {
  if (typeof found === "string") return found;
  throw new KvasirError(
    "OFFLINE",
    `HF_HUB_OFFLINE is set and ${cache} has not all of ${showName(name)}: ${found.message}; unset it once, or run kvasir pull ${showName(name)} where there is a network`,
    { cause: found },
  );
}

/** What the cache has, where the hub could not be asked; where it refused, its word counts. */
function orCached(error: unknown, found: string | KvasirError, name: HubName, warn: Warn): string {
  if (typeof found !== "string" || !(error instanceof KvasirError) || error.code !== "DOWNLOAD_FAILED") throw error;
  warn(new KvasirWarning("KVASIR_HUB_UNREACHABLE", `${error.message}; ${showName(name)} is taken as the cache has it: ${found}`));
  return found;
}
