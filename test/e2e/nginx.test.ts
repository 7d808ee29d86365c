// The configuration of docs/nginx.md in front of a real server. Skipped where there is no nginx;
// with CI=true its absence fails.
import { randomInt } from "node:crypto";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { readNginxConfig } from "../../scripts/bench/nginx-config.ts";
import { FakeUpstream, text } from "../support/fake-upstream.ts";
import { ask } from "../support/http-client.ts";
import { makeLargeModule, makeModule } from "../support/module-fixture.ts";
import {
  eventually,
  type RunningServer,
  ServerProcess,
  startServer,
} from "../support/start-server.ts";
import { makeTempFolder } from "../support/temp-folder.ts";

const PROGRAM = ["nginx", "/usr/sbin/nginx"].find(
  (program) => spawnSync(program, ["-v"]).status === 0,
);
const isSkipped = PROGRAM === undefined && process.env["CI"] !== "true";
const TOKEN = "a-token-of-acme";

describe.skipIf(isSkipped)("behind nginx, which is missing on a machine that skips this", () => {
  let upstream: FakeUpstream;
  let server: RunningServer;
  let nginx: ServerProcess;
  let front: string;

  beforeAll(async () => {
    upstream = await FakeUpstream.start();
    server = await startServer({
      config: {
        upstreams: [{ name: "main", url: upstream.url }],
        sumdb: "off",
        cache: { list: "1s" },
        teams: [
          {
            name: "acme",
            hosts: ["acme.go.example.com"],
            private: [{ pattern: "git.acme.example/*", source: "main" }],
            tokens: [{ name: "ci", role: "reader", secret: "ACME_CI_TOKEN" }],
          },
        ],
      },
      env: { ACME_CI_TOKEN: TOKEN },
    });
    const folder = makeTempFolder("nginx");
    const port = await findFreePort();
    const file = join(folder, "nginx.conf");
    const isRoot = process.getuid?.() === 0;
    const edge = new URL(server.url).host;
    writeFileSync(file, readNginxConfig({ listen: `127.0.0.1:${port}`, edge, folder, isRoot }));
    nginx = new ServerProcess(PROGRAM ?? "nginx", ["-p", folder, "-c", file], { cwd: folder });
    front = `http://127.0.0.1:${port}`;
    const isUp = await eventually(
      async () => (await ask(front, "/-/healthz").catch(() => undefined))?.status === 200,
      10_000,
    );
    if (!isUp) throw new Error(`nginx does not answer\n${nginx.stderr}`);
  });

  afterAll(async () => {
    await nginx.stop();
    await server.stop();
    await upstream.down();
  });

  it.for(["info", "mod", "zip"])(
    "keeps a .%s and hands it out by itself",
    async (kind, { expect }) => {
      const module = makeModule({ path: `kept-${kind}.test/m`, version: "v1.2.3" });
      upstream.add(module);
      const path = `/kept-${kind}.test/m/@v/v1.2.3.${kind}`;

      const first = await ask(front, path);
      const second = await ask(front, path);

      expect([first.status, second.status]).toEqual([200, 200]);
      expect(first.headers["x-cache-status"]).toBe("MISS");
      expect(second.headers["x-cache-status"]).toBe("HIT");
      expect(second.body.equals(first.body)).toBe(true);
      expect(second.headers["cache-control"]).toBe("public, max-age=31536000, immutable");
      expect(second.headers.etag).toBe(first.headers.etag);
    },
  );

  it("keeps one file for all spellings of the protocol, query strings left out", async ({
    expect,
  }) => {
    upstream.add(makeModule({ path: "query.test/m", version: "v1.0.0" }));
    await ask(front, "/query.test/m/@v/v1.0.0.mod");
    const other = await ask(front, "/query.test/m/@v/v1.0.0.mod?x=1");
    expect(other.headers["x-cache-status"]).toBe("HIT");
  });

  it("cuts ranges and answers conditions from what it keeps", async ({ expect }) => {
    const module = makeModule({ path: "range.test/m", version: "v1.0.0" });
    upstream.add(module);
    const path = "/range.test/m/@v/v1.0.0.zip";
    // The second: the first of a cold zip may carry no ETag.
    await ask(front, path);
    const whole = await ask(front, path);

    const part = await ask(front, path, { headers: { Range: "bytes=10-19" } });
    expect(part.status).toBe(206);
    expect(part.body.equals(module.zip.subarray(10, 20))).toBe(true);
    const etag = whole.headers.etag ?? "";
    const same = await ask(front, path, { headers: { "If-None-Match": etag } });
    expect(same.status).toBe(304);
  });

  it("asks for a list every time, so that a new version is seen as soon as without it", async ({
    expect,
  }) => {
    upstream.add(makeModule({ path: "list.test/m", version: "v1.0.0" }));
    const first = await ask(front, "/list.test/m/@v/list");
    expect(first.text).toBe("v1.0.0\n");
    expect(first.headers["cache-control"]).toBe("no-cache");
    upstream.add(makeModule({ path: "list.test/m", version: "v1.1.0" }));
    const isSeen = await eventually(async () => {
      const again = await ask(front, "/list.test/m/@v/list");
      expect(again.headers["x-cache-status"]).not.toBe("HIT");
      return again.text === "v1.0.0\nv1.1.0\n";
    }, 10_000);
    expect(isSeen).toBe(true);
  });

  it("keeps no absence and no error", async ({ expect }) => {
    upstream.on("/absent.test/m/@v/v1.0.0.mod", { status: 404 });
    upstream.on("/down.test/m/@v/v1.0.0.mod", { status: 503 });
    for (const path of ["/absent.test/m/@v/v1.0.0.mod", "/down.test/m/@v/v1.0.0.mod"]) {
      await ask(front, path);
      const again = await ask(front, path);
      expect(again.status).toBeGreaterThanOrEqual(400);
      expect(again.headers["x-cache-status"]).not.toBe("HIT");
      expect(again.text).toContain("request-id: ");
    }
  });

  it("keeps nothing of a zip that fails verification on its way", async ({ expect }) => {
    const module = makeLargeModule("broken.test/m", "v1.0.0", 2 * 1024 * 1024);
    const broken = Buffer.from(module.zip);
    const middle = Math.floor(broken.length / 2);
    broken.writeUInt8(broken.readUInt8(middle) ^ 0xff, middle);
    upstream.add(module);
    const path = "/broken.test/m/@v/v1.0.0.zip";
    upstream.on(path, { headers: { "Content-Type": "application/zip" }, body: broken });

    await expect(ask(front, path)).rejects.toThrow();

    upstream.on(path, { headers: { "Content-Type": "application/zip" }, body: module.zip });
    const good = await ask(front, path);
    expect(good.headers["x-cache-status"]).not.toBe("HIT");
    expect(good.body.equals(module.zip)).toBe(true);
  });

  it("never stands between a caller and his rights", async ({ expect }) => {
    upstream.add(makeModule({ path: "git.acme.example/secret", version: "v1.0.0" }));
    const authorization = `Basic ${Buffer.from(`ci:${TOKEN}`).toString("base64")}`;
    const asked: readonly (readonly [string, Record<string, string>])[] = [
      ["/t/acme/git.acme.example/secret/@v/v1.0.0.zip", {}],
      ["/git.acme.example/secret/@v/v1.0.0.zip", { Host: "acme.go.example.com" }],
    ];
    for (const [path, headers] of asked) {
      for (let count = 0; count < 2; count++) {
        const known = await ask(front, path, { headers: { ...headers, authorization } });
        expect(known.status).toBe(200);
        expect(known.headers["cache-control"]).toBe("private, no-store");
        expect(known.headers["x-cache-status"]).not.toBe("HIT");
        const stranger = await ask(front, path, { headers });
        expect(stranger.status).toBe(401);
      }
    }
    const open = await ask(front, "/git.acme.example/secret/@v/v1.0.0.zip");
    expect(open.status).toBe(404);
  });

  it("keeps files of different hosts apart", async ({ expect }) => {
    upstream.add(makeModule({ path: "host.test/m", version: "v1.0.0" }));
    const path = "/host.test/m/@v/v1.0.0.mod";
    await ask(front, path);
    const other = await ask(front, path, { headers: { Host: "acme.go.example.com" } });
    expect(other.status).toBe(401);
  });

  it("goes on with what it keeps while goproxy-edge is away", async ({ expect }) => {
    upstream.add(makeModule({ path: "away.test/m", version: "v1.0.0" }));
    upstream.on("/away.test/m/@v/list", text("v1.0.0\n"));
    await ask(front, "/away.test/m/@v/v1.0.0.mod");
    await server.stop();
    const kept = await ask(front, "/away.test/m/@v/v1.0.0.mod");
    expect(kept.status).toBe(200);
    const list = await ask(front, "/away.test/m/@v/list");
    expect(list.status).toBe(502);
  });
});

/** A port below those that the system hands out to everybody who asks for any. */
async function findFreePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const probe = createServer();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => void probe.close(() => resolve(true)));
    if (await promise) return port;
  }
}
