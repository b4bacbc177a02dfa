import { KvasirError } from "../../errors.ts";
import { WorkerClient, workerUrl } from "../../workers/worker-client.ts";
import { startProcess } from "../../workers/worker-peer.ts";
import { type ChatInput, checkChat, type RenderedChat } from "./messages.ts";
import type { TemplateSource } from "./renderer.ts";

export type { ChatInput, ChatMessage, ChatPart, RenderedChat } from "./messages.ts";

/** Longest that rendering may take: templates have loops and come with model files. Chosen: far above what a long conversation takes. */
const DEADLINE_MS = 2000;

/** Heap of the process that renders. Chosen: Node's own needs and several texts of the greatest length that a renderer returns. */
const HEAP_MEGABYTES = 256;

/** A chat template, rendered in a process of its own: one that hangs or takes all memory is ended and costs only its request. */
export class ChatTemplate {
  readonly #worker: WorkerClient;

  constructor(source: string, tokens: Omit<TemplateSource, "source">, options: { deadlineMs?: number } = {}) {
    this.#worker = new WorkerClient({
      module: workerUrl("template-worker"),
      start: startProcess(HEAP_MEGABYTES),
      data: { source, ...tokens } satisfies TemplateSource,
      deadlineMs: options.deadlineMs ?? DEADLINE_MS,
      failure: (reason) => new KvasirError("TEMPLATE_FAILED", `the chat template could not be rendered: ${reason}`),
    });
  }

  /** Rejects with INVALID_ARGUMENT for malformed messages, and with TEMPLATE_FAILED when the template refuses them, fails or takes too long. */
  async render(input: ChatInput): Promise<RenderedChat> {
    checkChat(input);
    // Awaited here, so that this function is in the stack of errors.
    return await this.#worker.call<RenderedChat>(input);
  }

  /** Ends the worker; calls under way reject with CLOSED. */
  close(): Promise<void> {
    return this.#worker.close();
  }
}
