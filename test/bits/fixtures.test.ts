import { testFingerprints } from "./support/fingerprints.ts";

/** Those with a GGUF twin. */
const TWINS = ["llama", "llama-bias", "llama3-rope", "llama-linear", "llama-yarn", "qwen3", "gemma3"];
/** Of each kind of attention, norm, feed-forward and residual that those don't have. */
const KINDS = ["qwen2-swa", "olmo3", "cohere2", "glm4", "phi3-longrope", "gemma2", "gpt2", "gpt-neox", "stablelm-qknorm", "ministral3"];

const PATHS = [...TWINS.flatMap((name) => [name, `${name}/model.gguf`]), "llama3-rope-v4", "gemma3-vl", ...KINDS];
testFingerprints(PATHS.map((path) => ({ path: `fixtures/${path}`, requests: 12 })));
