// Commits by name, and their builds in .cache/compare/COMMIT, each with packages of its own.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of the working tree. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const git = (...args) => execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).trim();

/** The full name of the commit that `revision` means. */
export function commitOf(revision) {
  try {
    return git("rev-parse", "--verify", "--quiet", `${revision}^{commit}`);
  } catch (cause) {
    throw new Error(`REV is ${revision}; expected a commit of this repository`, { cause });
  }
}

/** The working tree's commit, and whether it has changes; results of benchmarks are none. */
export function describeTree() {
  const changes = git("status", "--porcelain", "--", ".", ":(exclude)bench/results");
  return commitOf("HEAD") + (changes === "" ? "" : " with changes");
}

/** The folder of the commit's build. It gets its name when it is complete: what a failure leaves is `COMMIT.part`. */
export function buildOf(commit) {
  const folder = `${ROOT}.cache/compare/${commit}`;
  if (existsSync(folder)) return folder;
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  const archive = execFileSync("git", ["archive", commit], { cwd: ROOT, maxBuffer: Number.POSITIVE_INFINITY });
  execFileSync("tar", ["-xmf", "-", "-C", part], { input: archive });
  execFileSync("npm", ["run", "setup"], { cwd: part, stdio: "inherit" }); // npm ci, as no packages are there
  renameSync(part, folder);
  return folder;
}
