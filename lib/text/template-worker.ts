import { workerData } from "node:worker_threads";
import type { ChatInput } from "./messages.ts";
import { TemplateRenderer, type TemplateSource } from "./template.ts";
import { serve } from "./worker-server.ts";

const renderer = new TemplateRenderer(workerData as TemplateSource);

serve((input: ChatInput) => ({ result: renderer.render(input), transfer: [] }));
