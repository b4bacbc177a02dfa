import { mkdtempSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { KvasirWarning } from "../../../lib/errors.ts";
import { hubNameOf } from "../../../lib/hub/names.ts";
import { type HubRequest, type OpenProgress, openFromHub } from "../../../lib/hub/open.ts";
import { hubSettings, type Pace } from "../../../lib/hub/settings.ts";
import { FakeHub, noise } from "../../support/fake-hub.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Bytes of a range in these tests. */
export const PART = 1 << 16;

/** Quick where nothing depends on waiting. */
const PACE: Partial<Pace> = { partBytes: PART, connections: 4, attempts: 4, retryMs: 1, silenceMs: 5000, staleMs: 2000 };

/** What a download is tried with. */
export interface Trial extends Partial<HubRequest> {
  home?: string;
  env?: NodeJS.ProcessEnv;
  pace?: Partial<Pace>;
}

/** A hub with one GGUF of eleven ranges, and caches to download it into. */
export async function hubWithGguf(): Promise<{
  hub: FakeHub;
  content: Buffer;
  commit: string;
  /** An empty cache's HF_HOME. */
  newHome: () => string;
  /** Opens a name with HF_HOME at `home` (a new one). */
  open: (name: string, trial?: Trial) => Promise<string>;
  /** Opens "org/model" and compares what came. */
  isRight: (trial?: Trial) => Promise<boolean>;
}> {
  const hub = await FakeHub.start();
  const root = temporaryDirectory();
  const content = noise(10 * PART + 12_345);
  const commit = hub.add("org/model", { "model-Q4_K_M.gguf": content, "README.md": "read me" });
  const newHome = (): string => mkdtempSync(join(root, "home-"));
  const open = async (name: string, { home = newHome(), env, pace, ...request }: Trial = {}): Promise<string> => {
    const settings = await hubSettings({ HF_ENDPOINT: hub.endpoint, HF_HOME: home, ...env }, { ...PACE, ...pace });
    return openFromHub(hubNameOf(name), settings, { textOnly: false, warn: () => {}, ...request });
  };
  const isRight = async (trial?: Trial): Promise<boolean> => (await readFile(await open("org/model", trial))).equals(content);
  return { hub, content, commit, newHome, open, isRight };
}

/** Files below a cache, sorted; without folders. */
export async function filesIn(home: string): Promise<string[]> {
  const entries = await readdir(join(home, "hub"), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(home, "hub/").length))
    .sort();
}

/** Steps and warnings of a download, for its request. */
export function listeners(): { steps: OpenProgress[]; warnings: KvasirWarning[]; request: Pick<HubRequest, "onProgress" | "warn"> } {
  const steps: OpenProgress[] = [];
  const warnings: KvasirWarning[] = [];
  return { steps, warnings, request: { onProgress: (step) => steps.push(step), warn: (warning) => warnings.push(warning) } };
}
