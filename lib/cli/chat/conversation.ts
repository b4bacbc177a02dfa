import type { ChatMessage } from "../../text/chat/messages.ts";

/** What was said so far. */
export class Conversation {
  /** Stands before all that was said; `undefined`: nothing does. */
  system: string | undefined;
  #messages: ChatMessage[] = [];

  constructor(system: string | undefined) {
    this.system = system;
  }

  /** The messages with the user's next one. */
  with(text: string): ChatMessage[] {
    const system = this.system === undefined ? [] : [{ role: "system", content: this.system }];
    return [...system, ...this.#messages, { role: "user", content: text }];
  }

  /** Remembers a message and its answer. */
  add(text: string, answer: string): void {
    this.#messages.push({ role: "user", content: text }, { role: "assistant", content: answer });
  }

  /** Forgets all but the system's message. */
  reset(): void {
    this.#messages = [];
  }
}
