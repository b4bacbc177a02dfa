import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { vi } from "vitest";
import { Engine } from "../../../lib/engine.ts";
import { FakeHub, type Intercept, sha256 } from "../../support/fake-hub.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** A hub on the loopback with the tiny model as "org/tiny", which this process then takes for Hugging Face's, with an empty cache. */
export async function useFakeHub(): Promise<{ hub: FakeHub; home: string }> {
  const hub = await FakeHub.start();
  const directory = join(temporaryDirectory(), "model");
  const home = temporaryDirectory();
  await writeModel(directory, TINY);
  hub.add("org/tiny", Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))])));
  const settings = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_HUB_CACHE: "", HF_TOKEN: "", HF_TOKEN_PATH: "", HF_HUB_OFFLINE: "" };
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
  return { hub, home };
}

/** What goes wrong with a hub, by the code that it ends with. */
export const HUB_FAILURES = {
  MODEL_NOT_FOUND: { model: "org/tiny@v9" },
  ACCESS_DENIED: { model: "org/absent" },
  OFFLINE: { env: { HF_HUB_OFFLINE: "1" } },
  DOWNLOAD_FAILED: { intercept: (_, response) => answer(response.writeHead(302, { location: "/round" })) },
  CHECKSUM_MISMATCH: {
    intercept: ({ path }, response, content) =>
      path.endsWith("config.json") && answer(response.writeHead(200), Buffer.alloc(content!.length)),
  },
  DISK_FULL: {
    intercept: (_, response) => {
      const lfs = { size: 2 ** 52, sha256: sha256(Buffer.alloc(0)) };
      return answer(response, JSON.stringify({ sha: "0".repeat(40), siblings: [{ rfilename: "x.gguf", lfs }] }));
    },
  },
  CACHE_FAILED: { env: { HF_HUB_CACHE: "/dev/null/hub" } },
} satisfies Record<string, { model?: string; env?: Record<string, string>; intercept?: Intercept }>;

function answer(response: Parameters<Intercept>[1], body?: string | Buffer): true {
  response.end(body);
  return true;
}

/** Opens a model with one thing going wrong. */
export async function openFailing(
  hub: FakeHub,
  { model = "org/tiny", env = {}, intercept }: { model?: string; env?: Record<string, string>; intercept?: Intercept },
): Promise<Engine> {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  if (intercept !== undefined) hub.intercept = intercept;
  try {
    return await Engine.open(model);
  } finally {
    hub.reset();
    for (const [name, value] of before) vi.stubEnv(name, value);
  }
}
