import { runInNewContext } from "node:vm";
import type { ChatInput, RenderedChat } from "../text/chat/messages.ts";
import { TemplateRenderer, type TemplateSource } from "../text/chat/renderer.ts";
import { serve } from "./worker-server.ts";

/** The caller ends this process at its deadline. Should the caller itself be gone by then, rendering ends here, and with it the process. */
const ORPHAN_MS = 60_000;

serve((source: TemplateSource) => {
  const renderer = new TemplateRenderer(source);
  return (input: ChatInput) => {
    const render = (): RenderedChat => renderer.render(input);
    return { result: runInNewContext("render()", { render }, { timeout: ORPHAN_MS }), transfer: [] };
  };
});
