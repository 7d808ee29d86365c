// Guarantees: the relay answers for the configured databases alone, gives nothing of a client's
// request away, sends nothing for what is malformed, and goes on from storage without the database.

import { afterAll, beforeAll, describe, it } from "vitest";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";
import { backendOf, DatabaseFront } from "../support/sumdb/database-front.ts";
import { TestDatabase, testModule, testRecord } from "../support/sumdb/test-database.ts";

const NAME = "localhost.localdev/sumdb";
const BASE = `/sumdb/${NAME}`;
const SIZE = 300;

const MALFORMED_LOOKUPS = [
  "",
  "example.com/m1",
  "example.com/m1@",
  "@v1.0.0",
  "example.com/m1@latest",
  "example.com/m1@v1",
  "example.com/m1@v1.0",
  "example.com/m1@v1.0.0@v1.0.0",
  "example.com/m1@v1.0.0/go.mod",
  "example.com/M1@v1.0.0",
  "example.com/!1@v1.0.0",
  "example.com//m1@v1.0.0",
  "/example.com/m1@v1.0.0",
  "example.com/m1/@v1.0.0",
  "example.com/.m1/.@v1.0.0",
  "nodot/m1@v1.0.0",
  "-example.com/m1@v1.0.0",
  "example.com/m1@v01.0.0",
  "example.com/m%2F1@v1.0.0",
  "example.com/m1@v1.0.0%0a",
  "example.com/m1%00@v1.0.0",
  "example.com/con@v1.0.0",
  "example.com/m1@v2.0.0",
  "example.com/m1/v2@v1.0.0",
  "gopkg.in/yaml.v2@v3.0.0",
  `example.com/m1@v1.0.0-${"b".repeat(194)}`,
  `example.com/${"a".repeat(201)}@v1.0.0`,
];

const MALFORMED_TILES = [
  "8",
  "8/0",
  "8/0/0",
  "8/0/1000",
  "8/0/00",
  "8/0/x000",
  "8/0/-01",
  "8/-1/000",
  "8/99/000",
  "8/7/000",
  "8/00/000",
  "7/0/000",
  "9/0/000",
  "8/0/000.p",
  "8/0/000.p/0",
  "8/0/000.p/256",
  "8/0/000.p/01",
  "8/0/000.p/-1",
  "8/0/001.p/1/2",
  "8/data/0",
  "8/data/000.p/0",
  "8/0/x001/x000/001/",
];

describe.each(STORAGES)("the relay with --storage %s", (storage) => {
  let database: TestDatabase;
  let front: DatabaseFront;
  let upstream: FakeUpstream;
  let server: RunningServer;

  const sent = (): string[] => [...front.paths, ...upstream.requests.map(({ path }) => path)];

  beforeAll(async () => {
    database = await TestDatabase.create(SIZE);
    front = await DatabaseFront.start(backendOf(database));
    upstream = await FakeUpstream.start();
    server = await startServer({
      storage,
      upstream: upstream.url,
      args: ["--sumdb", `${NAME} ${database.verifierKey} ${front.url}`],
    });
  });

  afterAll(async () => {
    await server.stop();
    await front.down();
    await upstream.down();
  });

  it("says that it serves the configured database, without asking it", async ({ expect }) => {
    const before = sent();
    for (const prefix of ["", "/cached-only"]) {
      const { status, body } = await server.ask(`${prefix}${BASE}/supported`);
      expect({ status, bytes: body.length }).toEqual({ status: 200, bytes: 0 });
    }
    expect(sent()).toEqual(before);
  });

  it("refuses every other name with 404 and asks nobody", async ({ expect }) => {
    const before = sent();
    const names = [
      "sum.golang.org",
      "localhost.localdev",
      "localhost.localdev/sum",
      "localhost.localdev/sumdb2",
      "localhost.localdev/sumdb/x",
      "xlocalhost.localdev/sumdb",
      "x/localhost.localdev/sumdb",
      "LOCALHOST.localdev/sumdb",
      "!localhost.localdev/sumdb",
      "127.0.0.1",
    ];
    for (const name of names) {
      for (const question of [
        "supported",
        "latest",
        "lookup/example.com/m1@v1.0.0",
        "tile/8/0/000",
      ]) {
        const { status } = await server.ask(`/sumdb/${name}/${question}`);
        expect({ name, question, status }).toEqual({ name, question, status: 404 });
      }
    }
    for (const path of ["/sumdb/", "/sumdb", `/sumdb/${NAME}`, `${BASE}/`, `${BASE}/other`]) {
      expect({ path, status: (await server.ask(path)).status }).toEqual({ path, status: 404 });
    }
    expect(sent()).toEqual(before);
  });

  it("refuses malformed lookups and tiles with 404 and asks nobody", async ({ expect }) => {
    const before = sent();
    const paths = [
      ...MALFORMED_LOOKUPS.map((path) => `${BASE}/lookup/${path}`),
      ...MALFORMED_TILES.map((path) => `${BASE}/tile/${path}`),
      `${BASE}/latest/x`,
      `${BASE}/supported/x`,
    ];
    for (const path of paths) {
      expect({ path, status: (await server.ask(path)).status }).toEqual({ path, status: 404 });
    }
    expect(sent()).toEqual(before);
  });

  it("answers lookup, latest and tiles, with the types and headers of the protocol", async ({
    expect,
  }) => {
    const lookup = await server.ask(`${BASE}/lookup/${testModule(7)}@v1.0.0`);
    expect({
      status: lookup.status,
      starts: lookup.text.startsWith(`7\n${testRecord(7)}\n`),
    }).toEqual({ status: 200, starts: true });
    expect(lookup.headers["content-type"]).toMatch(/^text\/plain/);
    expect(lookup.headers["x-content-type-options"]).toBe("nosniff");
    const latest = await server.ask(`${BASE}/latest`);
    expect(latest.text).toContain(`go.sum database tree\n${SIZE}\n`);
    const tile = await server.ask(`${BASE}/tile/8/0/000`);
    expect(tile.headers["content-type"]).toBe("application/octet-stream");
    expect(tile.headers["cache-control"]).toContain("immutable");
    expect(tile.body).toHaveLength(256 * 32);
    const partial = await server.ask(`${BASE}/tile/8/0/001.p/3`);
    expect(partial.body).toHaveLength(3 * 32);
    const records = await server.ask(`${BASE}/tile/8/data/001.p/2`);
    expect(records.text).toBe(`${testRecord(256)}\n${testRecord(257)}\n`);
    const beyond = await server.ask(`${BASE}/tile/8/0/009`);
    expect(beyond.status).toBe(404);
    const head = await server.ask(`${BASE}/lookup/${testModule(7)}@v1.0.0`, { method: "HEAD" });
    expect({ status: head.status, bytes: head.body.length }).toEqual({ status: 200, bytes: 0 });
    const post = await server.ask(`${BASE}/latest`, { method: "POST" });
    expect(post.status).toBe(405);
  });

  it("gives the database nothing of a client's headers and query", async ({ expect }) => {
    const before = front.requests.length;
    const secret = "c4nary-Secret";
    const headers = {
      Authorization: `Basic ${Buffer.from(`me:${secret}`).toString("base64")}`,
      Cookie: `session=${secret}`,
      "X-Forwarded-For": "192.0.2.7",
      "User-Agent": secret,
      Referer: `http://${secret}.test/`,
    };
    const { status } = await server.ask(`${BASE}/lookup/${testModule(11)}@v1.0.0?q=${secret}`, {
      headers,
    });
    expect(status).toBe(200);
    const asked = front.requests.slice(before);
    expect(asked.some(({ path }) => path.startsWith("/lookup/"))).toBe(true);
    const told = JSON.stringify(asked);
    expect(told).not.toContain(secret);
    expect(told).not.toContain(Buffer.from(`me:${secret}`).toString("base64"));
    expect(told).not.toContain("192.0.2.7");
    for (const { headers: theirs } of asked) {
      expect(theirs).not.toHaveProperty("authorization");
      expect(theirs).not.toHaveProperty("cookie");
    }
  });

  it("says 404 for an unknown module and keeps nothing of it", async ({ expect }) => {
    const { status, text } = await server.ask(`${BASE}/lookup/unknown.test/m@v1.0.0`);
    expect(status).toBe(404);
    expect(text).toContain("not found");
    expect(server.stored().filter((key) => key.includes("unknown.test"))).toEqual([]);
  });

  it("is 5xx, never 404, when the database withholds a tile of the proof", async ({ expect }) => {
    front.lie = (path) =>
      path.startsWith("/tile/") ? { status: 404, body: Buffer.from("gone") } : undefined;
    database.append(testRecord(SIZE));
    const { status } = await server.ask(`${BASE}/lookup/${testModule(SIZE)}@v1.0.0`);
    front.lie = undefined;
    expect(status).toBeGreaterThanOrEqual(500);
    expect((await server.ask(`${BASE}/lookup/${testModule(SIZE)}@v1.0.0`)).status).toBe(200);
  });

  it("answers from storage while the database is gone, from the newest head on", async ({
    expect,
  }) => {
    const known = [7, 11, SIZE];
    await front.down();
    const { data } = server;
    await server.stop();
    server = await startServer({
      storage,
      data,
      upstream: upstream.url,
      args: ["--sumdb", `${NAME} ${database.verifierKey} ${front.url}`],
    });
    for (const prefix of ["", "/cached-only"]) {
      for (const id of known.toReversed()) {
        const { status, text } = await server.ask(
          `${prefix}${BASE}/lookup/${testModule(id)}@v1.0.0`,
        );
        expect({ id, status }).toEqual({ id, status: 200 });
        expect(text).toContain(`go.sum database tree\n${SIZE + 1}\n`);
      }
      expect((await server.ask(`${prefix}${BASE}/latest`)).status).toBe(200);
      expect((await server.ask(`${prefix}${BASE}/tile/8/0/000`)).status).toBe(200);
    }
    const fresh = await server.ask(`${BASE}/lookup/${testModule(200)}@v1.0.0`);
    expect([502, 503]).toContain(fresh.status);
    await front.up();
    const startedMs = performance.now();
    const back = await server.ask(`${BASE}/lookup/${testModule(200)}@v1.0.0`);
    expect(back.status).toBe(200);
    expect(performance.now() - startedMs).toBeLessThan(8000);
  });
});

describe("the relay through an upstream proxy", () => {
  it("asks the database below the upstream's own address when it has none of its own", async ({
    expect,
    onTestFinished,
  }) => {
    const database = await TestDatabase.create(10);
    const backend = backendOf(database);
    const prefix = `/base/sumdb/${NAME}`;
    const upstream = await DatabaseFront.start(async (path) =>
      path === `${prefix}/supported`
        ? { status: 200, body: new Uint8Array() }
        : await backend(path.slice(prefix.length)),
    );
    const server = await startServer({
      config: {
        upstreams: [{ url: `${upstream.url}/base` }],
        sumdb: { name: NAME, key: database.verifierKey },
      },
    });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    const { status } = await server.ask(`${BASE}/lookup/${testModule(3)}@v1.0.0`);
    expect(status).toBe(200);
    expect(upstream.paths[0]).toBe(`${prefix}/supported`);
    expect(upstream.paths.every((path) => path.startsWith(`${prefix}/`))).toBe(true);
  });

  it("refuses to start with a verifier key that is none, or that names another database", async ({
    expect,
  }) => {
    const { verifierKey } = await TestDatabase.create(0);
    for (const [name, key] of [
      [NAME, "nonsense"],
      [NAME, verifierKey.replace(/\+[^+]+$/, "+AAAA")],
      ["other.localdev/sumdb", verifierKey],
    ] as const) {
      const outcome = await startServer({
        upstream: "http://127.0.0.1:9",
        args: ["--sumdb", `${name} ${key} http://127.0.0.1:9`],
      }).then(
        async (server) => await server.stop().then(() => "started"),
        (error: unknown) => String(error),
      );
      expect({ name, key, isRefused: /goproxy-edge: .*(key|sumdb)/.test(outcome) }).toEqual({
        name,
        key,
        isRefused: true,
      });
    }
  });
});
