import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { hubSettings } from "../../../lib/hub/settings.ts";
import { expectError } from "../../support/expect.ts";
import { filesIn, hubWithGguf } from "./support.ts";

const { hub, newHome, open, isRight } = await hubWithGguf();
const host = new URL(hub.endpoint).host;
const env = { HF_TOKEN: "hf_secret" };

beforeEach(() => hub.reset());

/** What the hub itself answers to anything. */
const answer = (status: number, headers: Record<string, string> = {}): void => {
  hub.intercept = ({ server }, response) => {
    if (server === "storage") return false;
    response.writeHead(status, headers).end("<html>");
    return true;
  };
};

describe("a token", () => {
  test("goes to the hub and nowhere else", async () => {
    expect(await isRight({ env })).toBe(true);
    expect(new Set(hub.seen.filter(({ server }) => server === "hub").map(({ authorization }) => authorization))).toEqual(
      new Set(["Bearer hf_secret"]),
    );
    const elsewhere = hub.seen.filter(({ server }) => server === "storage");
    expect(elsewhere.length).toBeGreaterThan(5);
    expect(elsewhere.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  test("is not sent back to the hub's host on another port or by another scheme, nor to where a redirect of the API leads", async () => {
    hub.intercept = ({ server, path }, response) => {
      if (server === "storage" || !path.startsWith("/api/")) return false;
      response.writeHead(307, { location: `${hub.storage}${path}` }).end();
      return true;
    };
    expect(await isRight({ env })).toBe(true);
    const [first, second] = hub.seen;
    expect([first!.authorization, second!.server, second!.authorization]).toEqual(["Bearer hf_secret", "storage", undefined]);
  });

  test("goes along where the hub leads to itself", async () => {
    hub.intercept = ({ server, path }, response) => {
      if (server === "storage" || !path.includes("org/old")) return false;
      response.writeHead(307, { location: path.replace("org/old", "org/model") }).end();
      return true;
    };
    await open("org/old", { env });
    expect(hub.seen[1]).toMatchObject({ server: "hub", authorization: "Bearer hf_secret" });
  });

  test("comes from HF_TOKEN, or the file that a login leaves", async () => {
    const home = newHome();
    expect((await hubSettings({ HF_HOME: home })).token).toBeUndefined();
    writeFileSync(join(home, "token"), "hf_file\n");
    expect((await hubSettings({ HF_HOME: home })).token).toBe("hf_file");
    expect((await hubSettings({ HF_HOME: home, HF_TOKEN: " hf_env " })).token).toBe("hf_env");
    writeFileSync(join(home, "other"), "hf_other");
    expect((await hubSettings({ HF_HOME: home, HF_TOKEN_PATH: join(home, "other") })).token).toBe("hf_other");
  });

  test("with other characters is refused, and never shown", async () => {
    const failing = hubSettings({ HF_TOKEN: "hf_a\nX-Evil: 1" });
    await expectError(failing, "INVALID_ARGUMENT", "HF_TOKEN");
    await expect(failing).rejects.not.toThrow("hf_a");
  });
});

describe("the environment", () => {
  test("says where the cache is", async () => {
    const cacheOf = async (given: NodeJS.ProcessEnv) => (await hubSettings(given)).cache;
    expect(await cacheOf({ HF_HUB_CACHE: "/x", HF_HOME: "/y" })).toBe("/x");
    expect(await cacheOf({ HF_HOME: "/y" })).toBe("/y/hub");
    expect(await cacheOf({ XDG_CACHE_HOME: "/z" })).toBe("/z/huggingface/hub");
    expect(await cacheOf({})).toMatch(/\/\.cache\/huggingface\/hub$/);
    expect(await cacheOf({ HF_HOME: "~/h" })).toMatch(/^\/.*[^~]\/h\/hub$/);
  });

  test("says whether the hub is asked, and which", async () => {
    const offlineBy = async (value: string) => (await hubSettings({ HF_HUB_OFFLINE: value })).offline;
    expect(await Promise.all(["1", "true", "YES", "on"].map(offlineBy))).toEqual([true, true, true, true]);
    expect(await Promise.all(["", "0", "false"].map(offlineBy))).toEqual([false, false, false]);
    expect((await hubSettings({})).endpoint).toBe("https://huggingface.co");
    expect((await hubSettings({ HF_ENDPOINT: "https://mirror.example/hf/" })).endpoint).toBe("https://mirror.example/hf");
  });

  test.each(["mirror.example", "ftp://mirror.example", "https://user:pass@mirror.example", "https://mirror.example/?x", "file:///etc"])(
    "HF_ENDPOINT %s is refused",
    (endpoint) => expectError(hubSettings({ HF_ENDPOINT: endpoint }), "INVALID_ARGUMENT", "HF_ENDPOINT"),
  );

  test("may name a hub below a path", async () => {
    hub.intercept = ({ path }, response) => {
      if (!path.startsWith("/mirror/hf/")) return false;
      response.writeHead(307, { location: path.slice("/mirror/hf".length) }).end();
      return true;
    };
    expect(await isRight({ env: { HF_ENDPOINT: `${hub.endpoint}/mirror/hf/` } })).toBe(true);
  });
});

describe("what the hub refuses", () => {
  test.each<[string, number, Record<string, string>, NodeJS.ProcessEnv, string, string[]]>([
    ["no such model, or none for everybody", 401, {}, {}, "ACCESS_DENIED", ["401", "check its name at", "/org/model", "set HF_TOKEN"]],
    ["a wrong token", 401, {}, env, "ACCESS_DENIED", ["401", "the token was refused", "HF_TOKEN"]],
    [
      "a gated model without a token",
      401,
      { "x-error-code": "GatedRepo" },
      {},
      "ACCESS_DENIED",
      ["accept the model's conditions at", "set HF_TOKEN"],
    ],
    [
      "a gated model with one",
      403,
      { "x-error-code": "GatedRepo", "x-error-message": "Access to model org/model is restricted" },
      env,
      "ACCESS_DENIED",
      ["403", "is restricted", "accept the model's conditions at", "the token of HF_TOKEN"],
    ],
    [
      "no such model",
      404,
      { "x-error-code": "RepoNotFound" },
      env,
      "MODEL_NOT_FOUND",
      ["404", "check the name at", "no path on this machine"],
    ],
    ["an odd status", 418, {}, {}, "DOWNLOAD_FAILED", ["418; expected 200"]],
  ])("%s", async (_, status, headers, given, code, named) => {
    answer(status, headers);
    await expectError(open("org/model", { env: given }), code as "OFFLINE", "model org/model", host, ...named);
    expect(hub.seen).toHaveLength(1);
  });

  test("a revision", () => expectError(open("org/model@v9"), "MODEL_NOT_FOUND", host, "404", "/org/model/tree/v9"));

  test("and what may pass is asked again", async () => {
    for (const status of [429, 500, 502, 503]) {
      hub.reset();
      let count = 0;
      hub.intercept = (_, response) => {
        if (++count > 2) return false;
        response.writeHead(status, { "retry-after": "0" }).end();
        return true;
      };
      expect(await isRight()).toBe(true);
    }
    answer(503);
    await expectError(open("org/model"), "DOWNLOAD_FAILED", "model org/model", host, "503");
  });

  test("never shows a token or a signed address", async () => {
    hub.intercept = ({ server }, response) => {
      if (server === "hub") return false;
      response.writeHead(500).end();
      return true;
    };
    const failing = open("org/model", { env });
    await expectError(failing, "DOWNLOAD_FAILED", new URL(hub.storage).host);
    await expect(failing).rejects.not.toThrow(/secret|signature/);
  });
});

describe("an answer that is no listing", () => {
  const listing = (value: unknown): void => {
    hub.intercept = (_, response) => {
      response.writeHead(200).end(typeof value === "string" ? value : JSON.stringify(value));
      return true;
    };
  };
  const commit = "0".repeat(40);
  const file = { rfilename: "x.gguf", size: 4, blobId: commit };

  test.each<[string, unknown]>([
    ["a page of a portal", "<html>Log in</html>"],
    ["cut JSON", '{"sha": "'],
    ["null", null],
    ["no commit", { siblings: [file] }],
    ["a commit that leads elsewhere", { sha: "../../../../x", siblings: [file] }],
    ["no files", { sha: commit }],
    ["a file without a hash", { sha: commit, siblings: [{ ...file, blobId: undefined }] }],
    ["a hash that leads elsewhere", { sha: commit, siblings: [{ ...file, blobId: "../../../x" }] }],
    ["a size below zero", { sha: commit, siblings: [{ ...file, size: -1 }] }],
    ["a size of 2^53", { sha: commit, siblings: [{ ...file, size: 2 ** 53 }] }],
    ["a file above", { sha: commit, siblings: [{ ...file, rfilename: "../../../x.gguf" }] }],
    ["a file elsewhere", { sha: commit, siblings: [{ ...file, rfilename: "/tmp/x.gguf" }] }],
    ["a file with a backslash", { sha: commit, siblings: [{ ...file, rfilename: "..\\x.gguf" }] }],
    ["a file with a zero", { sha: commit, siblings: [{ ...file, rfilename: "x\u0000.gguf" }] }],
  ])("%s is an error, and nothing is written", async (_, value) => {
    listing(value);
    const home = newHome();
    mkdirSync(join(home, "hub"));
    await expectError(open("org/model", { home }), "DOWNLOAD_FAILED", "model org/model", host, "expected");
    expect(await filesIn(home)).toEqual([]);
  });
});

describe("redirects", () => {
  test.each(["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x", "http://[", "javascript:1"])("to %s are refused", async (location) => {
    answer(302, { location });
    await expectError(open("org/model"), "DOWNLOAD_FAILED", host, "expected https");
  });

  test("in a circle end", async () => {
    answer(302, { location: "/round" });
    await expectError(open("org/model"), "DOWNLOAD_FAILED", host, "more than 10 times");
    expect(hub.seen).toHaveLength(11);
  });
});
