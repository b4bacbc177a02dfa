import { KvasirError, show } from "../errors.ts";

/** A model on the hub, by name: `ORG/NAME[@REVISION][:CHOICE]`. Git allows no colon in a revision, and the hub no `@` in a name. */
export interface HubName {
  /** `ORG/NAME`. */
  id: string;
  /** A branch, a tag or a commit. */
  revision: string;
  /** Which .gguf: a quantization such as `Q4_K_M`, or a file's path in the repository. */
  choice: string | undefined;
}

const FORM = /^([^/@:]+)\/([^/@:]+)(?:@([^:]*))?(?::(.*))?$/s;

/** What the hub allows in either half of a name; `..` and a leading dot, which would lead elsewhere, are not among it. */
const HALF = /^(?!.*(?:--|\.\.|\.git$))[a-zA-Z0-9_](?:[\w.-]{0,94}\w)?$/;

/** Endings of files: what looks so is a path that isn't there, rather than a name. */
const FILE = /\.(?:gguf|safetensors|json|bin)$/i;

/** The name in a text that may as well be a path; `undefined` for what can't be a name. */
export function hubNameIn(text: string): HubName | undefined {
  const [, org, name] = FORM.exec(text) ?? [];
  if (org === undefined || name === undefined || !HALF.test(org) || !HALF.test(name) || FILE.test(name)) return undefined;
  return hubNameOf(text);
}

/** What comes before a name that is the hub's, whatever path there may be. */
const PREFIX = "hf:";

/** Whether a text says that it is a name on the hub: `hf:ORG/NAME`. */
export function isHubName(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** The name that a text has to be, which may say so. */
export function hubNameOf(text: string): HubName {
  const [, org = "", name = "", revision, choice] = FORM.exec(isHubName(text) ? text.slice(PREFIX.length) : text) ?? [];
  if (!HALF.test(org) || !HALF.test(name) || choice === "")
    throw new KvasirError("INVALID_ARGUMENT", `the model is ${show(text)}; expected ORG/NAME, ORG/NAME@REVISION or ORG/NAME:QUANTIZATION`);
  if (revision !== undefined && !isRevision(revision))
    throw new KvasirError("INVALID_ARGUMENT", `the revision of ${org}/${name} is ${show(revision)}; expected a branch, a tag or a commit`);
  return { id: `${org}/${name}`, revision: revision ?? "main", choice };
}

/** The whole name, as the caller would write it. */
export function showName({ id, revision, choice }: HubName): string {
  return id + (revision === "main" ? "" : `@${revision}`) + (choice === undefined ? "" : `:${choice}`);
}

/** A revision becomes a path below refs/: no part of it may begin with a dot. */
function isRevision(text: string): boolean {
  return text.length <= 200 && text.split("/").every((part) => /^[\w+#=,][\w.+#=,-]*$/.test(part));
}

/** Whether a revision is a commit, which never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Whether a file's path in a repository stays below the folder that it is put in. */
export function isInside(path: string): boolean {
  const parts = path.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused.
  return path.length <= 1000 && parts.every((part) => !/^\.{0,2}$|[\\\u0000-\u001f\u007f]/.test(part) && Buffer.byteLength(part) <= 255);
}
