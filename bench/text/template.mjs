// Time to render a chat of 100 messages, through Llama 3.1's template where the reference material has it: npm run bench:text
import { existsSync, readFileSync } from "node:fs";
import { ChatTemplate } from "../../dist/text/chat/template.js";

const ROUNDS = 50;
const matrix = new URL("../../../shared/tokenizers/chat-templates/matrix.json", import.meta.url);
const CHATML =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const [name, source] = existsSync(matrix)
  ? ["Llama 3.1", JSON.parse(readFileSync(matrix, "utf8")).templates["meta-llama/Llama-3.1-8B-Instruct"].template]
  : ["ChatML", CHATML];

const text = "The quick brown fox jumps over the lazy dog, and then it does so again. ".repeat(5);
const messages = Array.from({ length: 100 }, (_, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content: `${i}: ${text}` }));

const started = performance.now();
const template = new ChatTemplate(new Map([["default", source]]), { bosText: "<s>", eosText: "</s>" });
template.render({ messages });
const first = performance.now() - started;

const times = Array.from({ length: ROUNDS }, () => {
  const start = performance.now();
  template.render({ messages });
  return performance.now() - start;
}).sort((a, b) => a - b);
const [best, median] = [times[0], times[ROUNDS >> 1]];
console.log(
  `${name}, 100 messages: ${median.toFixed(2)} ms (best ${best.toFixed(2)}; the first, with parsing and probing, ${first.toFixed(1)})`,
);
