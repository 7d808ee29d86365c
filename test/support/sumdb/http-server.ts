import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { errorRow } from "../../../src/errors/codes.ts";
import { ProxyError } from "../../../src/errors/proxy-error.ts";

/** What a database and a relay have in common. */
export interface SumdbServer {
  serveLookup(escaped: string): Promise<Uint8Array>;
  serveLatest(): Promise<Uint8Array>;
  serveTile(path: string): Promise<Uint8Array>;
}

/** Serves what `current` returns at the time of a request, on a free port of the loopback. */
export async function serveSumdb(
  current: () => SumdbServer,
): Promise<{ url: string; close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    answer(current(), request.url ?? "").then(
      (body) => response.end(body),
      (error: unknown) => {
        response.statusCode = error instanceof ProxyError ? errorRow(error.code).status : 500;
        response.end(String(error));
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, close };
}

async function answer(server: SumdbServer, url: string): Promise<Uint8Array> {
  if (url === "/latest") return server.serveLatest();
  if (url.startsWith("/lookup/")) return server.serveLookup(url.slice("/lookup/".length));
  return server.serveTile(url.slice(1));
}
