import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { plainEnv } from "../process.ts";

const GRAPH = join(import.meta.dirname, "../graph/go.mod");
const DOWNLOAD_MS = 300_000;

/** Paths that the go command asks for, in its order, when it downloads all modules of a project. */
export async function traceDownload(go: string, upstreamUrl: string): Promise<readonly string[]> {
  const paths: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? "/";
    paths.push(path);
    request(upstreamUrl + path, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    }).end();
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", () => resolve());
  await promise;
  const folder = mkdtempSync(join(tmpdir(), "goproxy-edge-trace-"));
  try {
    copyFileSync(GRAPH, join(folder, "go.mod"));
    const env = {
      ...plainEnv(),
      HOME: folder,
      GOPATH: join(folder, "go"),
      GOCACHE: join(folder, "build"),
      GOPROXY: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      GOSUMDB: "off",
      GOTOOLCHAIN: "local",
      GOFLAGS: "-mod=mod -modcacherw",
    };
    await promisify(execFile)(go, ["mod", "download"], {
      cwd: folder,
      timeout: DOWNLOAD_MS,
      env: env as unknown as NodeJS.ProcessEnv,
    });
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return paths.filter((path) => path.includes("/@"));
}
