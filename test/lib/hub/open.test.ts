import { chmod, mkdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { inCache } from "../../../lib/hub/disk.ts";
import { expectError } from "../../support/expect.ts";
import { FakeHub, gitSha1, sha256, sibling } from "../../support/fake-hub.ts";
import { filesIn, hubWithGguf, listeners } from "./support.ts";

const { hub, content, commit, newHome, open } = await hubWithGguf();
const offline = { HF_HUB_OFFLINE: "1" };

const config = JSON.stringify({ model_type: "llama" });
const index = JSON.stringify({ weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } });
const LLAMA = {
  ".gitattributes": "x",
  "README.md": "x",
  "additional_chat_templates/rag.jinja": "rag",
  "chat_template.jinja": "template",
  "config.json": config,
  "consolidated.safetensors": "all again",
  "generation_config.json": "{}",
  "image.png": "x",
  "model-00001-of-00002.safetensors": "one",
  "model-00002-of-00002.safetensors": "two",
  "model.safetensors.index.json": index,
  "onnx/model.onnx": "x",
  "original/params.json": "{}",
  "pytorch_model.bin": "x",
  "tokenizer.json": '{"model": {}}',
  "tokenizer_config.json": "{}",
};
const NEEDED = [
  "additional_chat_templates/rag.jinja",
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
const llama = hub.add("org/llama", LLAMA);

beforeEach(() => hub.reset());

/** Files of a snapshot, as paths in the repository. */
const snapshotIn = async (home: string, revision: string): Promise<string[]> => {
  const parts = (await filesIn(home)).map((path) => path.split(`snapshots/${revision}/`));
  return parts.flatMap(([, path]) => path ?? []);
};

describe("the cache", () => {
  test("is laid out as Hugging Face's", async () => {
    const home = newHome();
    const path = await open("org/model", { home });
    expect(path).toBe(join(home, "hub/models--org--model/snapshots", commit, "model-Q4_K_M.gguf"));
    expect(await filesIn(home)).toEqual([
      `models--org--model/blobs/${sha256(content)}`,
      "models--org--model/refs/main",
      `models--org--model/snapshots/${commit}/model-Q4_K_M.gguf`,
    ]);
    expect(await readlink(path)).toBe(`../../blobs/${sha256(content)}`);
    expect(await readFile(join(home, "hub/models--org--model/refs/main"), "utf8")).toBe(commit);
  });

  test("gets what a directory's model needs, and no more", async () => {
    const home = newHome();
    expect(await open("org/llama", { home })).toBe(join(home, "hub/models--org--llama/snapshots", llama));
    expect(await snapshotIn(home, llama)).toEqual(NEEDED);
    const nested = join(home, "hub/models--org--llama/snapshots", llama, "additional_chat_templates/rag.jinja");
    expect(await readlink(nested)).toBe(`../../../blobs/${gitSha1(Buffer.from("rag"))}`);
    expect(await readFile(nested, "utf8")).toBe("rag");
  });

  test("gets no weights for a tokenizer", async () => {
    const home = newHome();
    await open("org/llama", { home, textOnly: true });
    expect(await snapshotIn(home, llama)).toEqual(NEEDED.filter((path) => !path.startsWith("model")));
    await open("org/llama", { home });
    expect(await snapshotIn(home, llama)).toEqual(NEEDED);
  });

  test("serves what another program put there", async () => {
    const home = newHome();
    const folder = join(home, "hub/models--org--model");
    const link = join(folder, "snapshots", commit, "model-Q4_K_M.gguf");
    await mkdir(join(folder, "blobs"), { recursive: true });
    await mkdir(dirname(link), { recursive: true });
    await writeFile(join(folder, "blobs", sha256(content)), content);
    await symlink(`../../blobs/${sha256(content)}`, link);
    expect(await open("org/model", { home })).toBe(link);
    expect(hub.fileRequests()).toEqual([]);
    // A file in place of the link, as on systems without links.
    await rm(link);
    await writeFile(link, content);
    expect(await open("org/model", { home })).toBe(link);
    // A blob without a link, as of another revision.
    await rm(link);
    const { steps, request } = listeners();
    expect(await open("org/model", { home, ...request })).toBe(link);
    expect(hub.fileRequests()).toEqual([]);
    expect(steps).toEqual([{ phase: "download", loadedBytes: content.length, totalBytes: content.length }]);
  });

  test("is asked first for a commit, which can't change", async () => {
    const home = newHome();
    await open(`org/model@${commit}`, { home });
    expect(await filesIn(home)).not.toContain("models--org--model/refs/main");
    hub.reset();
    await open(`org/model@${commit}`, { home });
    expect(hub.seen).toEqual([]);
  });

  test("keeps each revision", async () => {
    const home = newHome();
    await open("org/model@refs/pr/1", { home });
    await open("org/model@v1.0", { home });
    expect((await filesIn(home)).filter((path) => path.includes("/refs/"))).toEqual([
      "models--org--model/refs/refs/pr/1",
      "models--org--model/refs/v1.0",
    ]);
    expect(hub.seen[0]!.path).toBe("/api/models/org/model/revision/refs%2Fpr%2F1?blobs=true");
  });

  test("follows main, and shares what didn't change", async () => {
    const home = newHome();
    const files = { "config.json": config, "model.safetensors": "old", "tokenizer.json": "{}" };
    const old = hub.add("org/moves", files);
    await open("org/moves", { home });
    hub.reset();
    const newer = hub.add("org/moves", { ...files, "model.safetensors": "new" });
    const path = await open("org/moves", { home });
    expect(await readFile(join(path, "model.safetensors"), "utf8")).toBe("new");
    expect(hub.fileRequests("hub").map(({ path }) => path.split("/").at(-1))).toEqual(["model.safetensors"]);
    expect(await open("org/moves", { home, env: offline })).toBe(path);
    expect(await readFile(join(await open(`org/moves@${old}`, { home, env: offline }), "model.safetensors"), "utf8")).toBe("old");
    expect(path).toContain(newer);
  });

  test("that can only be read serves what it has, and is named where it has not", async () => {
    const home = newHome();
    await writeFile(join(home, "hub"), "a file");
    await expectError(open("org/model", { home }), "CACHE_FAILED", join(home, "hub"), "HF_HOME");
    if (process.getuid?.() === 0) return;
    await rm(join(home, "hub"));
    await open("org/model@v1.0", { home });
    await chmod(join(home, "hub/models--org--model/refs"), 0o500);
    await open("org/model", { home });
  });

  test("is not begun on a disk without room", async () => {
    hub.intercept = ({ path }, response) => {
      if (!path.startsWith("/api/")) return false;
      const entry = { ...sibling("x.gguf", content), lfs: { sha256: sha256(content), size: 2 ** 52 } };
      response.end(JSON.stringify({ sha: commit, siblings: [entry] }));
      return true;
    };
    await expectError(open("org/model"), "DISK_FULL", String(2 ** 52), "models--org--model", "HF_HOME");
    expect(hub.fileRequests()).toEqual([]);
  });
});

test("a disk that fills up while it is written is said to be full", async () => {
  const fail = (code: string) => inCache("/cache/x", () => Promise.reject(Object.assign(new Error(code), { code, syscall: "write" })));
  await expectError(fail("ENOSPC"), "DISK_FULL", "/cache/x", "HF_HOME");
  await expectError(fail("EDQUOT"), "DISK_FULL", "/cache/x");
  await expectError(fail("EROFS"), "CACHE_FAILED", "/cache/x", "EROFS");
});

describe("without a network", () => {
  test("HF_HUB_OFFLINE asks nobody, and says what is missing", async () => {
    const home = newHome();
    await expectError(open("org/model", { home, env: offline }), "OFFLINE", "org/model", "HF_HUB_OFFLINE", "kvasir pull org/model");
    await open("org/llama", { home, textOnly: true });
    hub.reset();
    await expectError(open("org/llama", { home, env: offline }), "OFFLINE", "neither model.safetensors");
    await open("org/llama", { home, textOnly: true, env: offline });
    hub.reset();
    const path = await open("org/llama", { home });
    hub.reset();
    expect(await open("org/llama", { home, env: offline })).toBe(path);
    await rm(join(path, "model-00002-of-00002.safetensors"));
    await expectError(open("org/llama", { home, env: offline }), "OFFLINE", "lacks model-00002-of-00002.safetensors");
    await expectError(open("org/llama@v1.0", { home, env: offline }), "OFFLINE", "no revision v1.0");
    expect(hub.seen).toEqual([]);
  });

  test("takes of several .gguf those that are there", async () => {
    const home = newHome();
    hub.add("org/many", { "x-Q4_K_M.gguf": "four", "x-Q8_0.gguf": "eight" });
    const path = await open("org/many:q8_0", { home });
    expect(path).toMatch(/x-Q8_0\.gguf$/);
    expect(await open("org/many", { home, env: offline })).toBe(path);
    expect(await open("org/many", { home })).toMatch(/x-Q4_K_M\.gguf$/);
    expect(await open("org/many", { home, env: offline })).toMatch(/x-Q4_K_M\.gguf$/);
  });

  test("a hub that can't be reached is a warning where the cache has the model", async () => {
    const home = newHome();
    const other = await FakeHub.start();
    const unreachable = { HF_ENDPOINT: other.endpoint };
    other.close();
    await expectError(
      open("org/model", { home, env: unreachable }),
      "DOWNLOAD_FAILED",
      "model org/model",
      new URL(unreachable.HF_ENDPOINT).host,
      "ECONNREFUSED",
    );
    const path = await open("org/model", { home });
    const { warnings, request } = listeners();
    expect(await open("org/model", { home, env: unreachable, ...request })).toBe(path);
    expect(warnings.map(({ code }) => code)).toEqual(["KVASIR_HUB_UNREACHABLE"]);
    expect(warnings[0]!.message).toContain(path);
    hub.intercept = (_, response) => {
      response.writeHead(403).end();
      return true;
    };
    await expectError(open("org/model", { home }), "ACCESS_DENIED");
  });
});

describe("before gigabytes are fetched", () => {
  test.each<[string, string, object]>([
    ["an unknown architecture", "UNSUPPORTED_MODEL", { model_type: "mamba" }],
    ["quantized weights", "UNSUPPORTED_FORMAT", { model_type: "llama", quantization_config: { quant_method: "awq" } }],
  ])("%s is refused", async (_, code, settings) => {
    hub.add("org/other", { ...LLAMA, "config.json": JSON.stringify(settings) });
    await expectError(open("org/other"), code as "OFFLINE", "config.json");
    expect(hub.fileRequests("storage")).toEqual([]);
  });

  test.each([
    ["leads elsewhere", "../../x.safetensors", "FILE_INVALID"],
    ["is not there", "y.safetensors", "MODEL_NOT_FOUND"],
  ])("an index with a file that %s is refused", async (_, shard, code) => {
    hub.add("org/other", { ...LLAMA, "model.safetensors.index.json": JSON.stringify({ weight_map: { a: shard } }) });
    await expectError(open("org/other"), code as "OFFLINE", shard.split("/").at(-1)!);
    expect(hub.fileRequests("storage")).toEqual([]);
  });
});

test("a split GGUF is got with all parts, and opened by its first", async () => {
  const part = (n: number) => `Q8_0/x-Q8_0-0000${n}-of-00002.gguf`;
  const revision = hub.add("org/split", { [part(1)]: "one", [part(2)]: "two", "x-Q2_K.gguf": "small" });
  const home = newHome();
  expect(await open("org/split:Q8_0", { home })).toBe(join(home, "hub/models--org--split/snapshots", revision, part(1)));
  expect(await snapshotIn(home, revision)).toEqual([part(1), part(2)]);
});
