import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { setTimeout as wait } from "node:timers/promises";
import type { ServeOptions } from "./options.ts";

const POLL_MS = 20;
const POLL_TIMEOUT_MS = 5000;
const DEADLINE_MS = 30_000;

/** Wait until the first request is answered; false when that takes too long. */
export async function waitUntilReady(options: ServeOptions): Promise<boolean> {
  const endMs = Date.now() + DEADLINE_MS;
  while (!(await isAnswering(options))) {
    if (Date.now() > endMs) return false;
    await wait(POLL_MS);
  }
  return true;
}

async function isAnswering({ host, port, tls }: ServeOptions): Promise<boolean> {
  const target = {
    host: host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host,
    port,
    path: "/-/healthz",
    agent: false as const,
    // The certificate names the host that clients use, not this address.
    rejectUnauthorized: false,
  };
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = (tls === undefined ? httpRequest : httpsRequest)(target, (response) => {
    response.resume();
    // Any answer will do: this address may be a team's, which asks for a token first.
    resolve(true);
  });
  request.setTimeout(POLL_TIMEOUT_MS, () => request.destroy());
  request.once("error", () => resolve(false));
  request.end();
  return await promise;
}
