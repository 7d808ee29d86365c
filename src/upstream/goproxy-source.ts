import type { ModuleSource } from "../proxy/ports.ts";
import type { HttpClient, HttpOrigin } from "./http-client.ts";

/**
 * A source that speaks the GOPROXY protocol.
 *
 * The path is sent in its one normal spelling, whatever the client wrote.
 */
export function createGoproxySource(client: HttpClient, origin: HttpOrigin): ModuleSource {
  return {
    name: origin.name,
    async ask(request, { deadlineMs }) {
      const answer = await client.get(origin, `/${request.path}`, deadlineMs);
      return answer.found ? { ...answer, source: origin.name } : answer;
    },
  };
}
