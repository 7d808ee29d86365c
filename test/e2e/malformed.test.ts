// Guarantee: what is no question of the protocol never gives a 5xx, never reaches an upstream, never
// leaves anything in storage, and never makes a log line with text that nobody has checked.

import { connect } from "node:net";
import { Agent } from "node:http";
import { describe, it } from "vitest";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { ask } from "../support/http-client.ts";
import { readFixtures } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

const GENERATED = 4000;
const SEED = 7;
const CONNECTIONS = 8;

const GOOD = [
  "/example.com/hello/@v/list",
  "/example.com/hello/@latest",
  "/example.com/hello/@v/v1.0.0.info",
  "/example.com/hello/@v/v1.0.0.mod",
  "/example.com/hello/@v/v1.0.0.zip",
  "/example.com/!caps/!mod/@v/v1.0.0-!r!c1.zip",
  "/example.com/old/@v/v2.0.0+incompatible.info",
  "/gopkg.in/yaml.v3/@v/master.info",
];

// None of these may stand anywhere in a path.
const FORBIDDEN = [
  ...Array.from("\"'()*,:;<=>[]^`{|}$&"),
  ...["%", "%2", "%zz", "%%", "%00", "%0a", "%0d%0aX:y", "%20", "%22", "%23", "%25", "%25%32%66", "%2f", "%2F", "%3F"],
  ...["%5c", "%7f", "%80", "%c3%a9", "%ff", "%e2%80%ae", "%41", "%21%", "%u0041", "é", "ÿ", "\u00a0", "\u0080"],
]; // prettier-ignore

const SHAPES = [
  "/", "//", "/@v/list", "/@latest", "//@v/list", "/example.com", "/example.com/", "/example.com/hello",
  "/example.com/hello/", "/example.com/hello/@v", "/example.com/hello/@v/", "/example.com/hello/@v/list/",
  "/example.com/hello/@v//list", "/example.com//hello/@v/list", "//example.com/hello/@v/list",
  "/example.com/hello/@v/list.", "/example.com/hello/@V/list", "/example.com/hello/@latest/", "/example.com/hello/@latest.info",
  "/example.com/hello/@v/LIST", "/Example.com/hello/@v/list", "/example.com/Hello/@v/list", "/example.com/!!hello/@v/list",
  "/example.com/!/@v/list", "/example.com/!1/@v/list", "/example.com/hello!/@v/list", "/example.com/hello/@v/v1.0.0-RC1.info",
  "/example.com/.hidden/@v/list", "/example.com/hello./@v/list", "/.example.com/hello/@v/list", "/-example.com/x/@v/list",
  "/example/hello/@v/list", "/localhost/@v/list", "/exa_mple.com/hello/@v/list", "/example.com/con/@v/list",
  "/example.com/aux.txt/@v/list", "/example.com/foo~1/@v/list", "/example.com/hello/@v/.info", "/example.com/hello/@v/.zip",
  "/example.com/hello/@v/@v/list", "/example.com/@v/hello/@v/list", "/example.com/hello/@v/a/b.info",
  "/example.com/hello/@v/v1.0.0.record", "/example.com/hello/@v/v1.0.0.zip.record", "/example.com/hello/@v/v1.0.0.mod.record",
  "/public/example.com/hello/@v/list", "/system/staging/x", "/files/public", "/t", "/t/", "/t/acme", "/t/acme/", "/t/acme/-/healthz", "/t/ACME/example.com/hello/@v/list",
  "/t/a_b/example.com/hello/@v/list", "/t//example.com/hello/@v/list", "/t/acme/t/acme/example.com/hello/@v/list",
  "/cached-only", "/cached-only/", "/cached-only/cached-only/example.com/hello/@v/list", "/cached-only/t/acme/example.com/hello/@v/list",
  "/cached-only/-/healthz", "/sumdb", "/sumdb/", "/sumdb/evil.test/lookup/x", "/sumdb/../x", "/sumdb/evil.test/supported", "/-", "/-/", "/-/nothing",
  "/-/api", "/-/api/v1", "/-/api/v1/nothing", "/-/%2e%2e/%2e%2e/etc/passwd", "/-/api/v1/jobs/x", "/cdn-cgi/local/r2/files",
  "/favicon.ico", "/robots.txt", "/.well-known/x", "/index.html", "/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd",
  "/example.com/hello/@v/../../../../../etc/passwd", "/example.com/hello/@v/..%2f..%2flock.sqlite", "/example.com/hello/@v/%2e%2e/%2e%2e/x",
  "/example.com/..%2f..%2f/@v/list", "/example.com/hello/@v/..info", "/example.com/hello/@v/...zip", "/@", "/@/@", "/example.com@v1/@v/list",
  `/${"a".repeat(8000)}/@v/list`, `/example.com/${"a/".repeat(300)}@v/list`, `/example.com${"/@v".repeat(500)}/list`,
]; // prettier-ignore

describe.each(STORAGES)("malformed paths with --storage %s", (storage) => {
  it(`are refused, ${GENERATED} of them and ${SHAPES.length} by hand, and leave no trace`, async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start(readFixtures());
    const server = await startServer({ storage, upstream: upstream.url });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    const paths = [...SHAPES, ...generate(GENERATED)];
    const wrong: { path: string; status: number }[] = [];
    const answers = await sendAll(server, paths);
    for (const [index, status] of answers.entries()) {
      const path = paths[index] ?? "";
      const isOwn = path === "/" || path.startsWith("/-") || path === "//";
      const isRefused = (status >= 400 && status < 500) || (isOwn && status < 400);
      if (!isRefused) wrong.push({ path: path.slice(0, 200), status });
    }
    expect(wrong).toEqual([]);
    expect(upstream.requests.filter(({ path }) => path !== "/")).toEqual([]);
    expect(server.stored()).toEqual([]);
    const logged = server.process.stdout.split("\n").filter((line) => line.includes("url.path"));
    expect(logged.filter((line) => line.includes("passwd") || line.includes("%"))).toEqual([]);
    expect(await server.ask("/-/healthz")).toMatchObject({ status: 200 });
  });

  it("and requests that are hardly HTTP do not disturb the others", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start(readFixtures());
    const server = await startServer({ storage, upstream: upstream.url });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    const lines = [
      "GET /example.com/hello/@v/list\r\n\r\n",
      "GET  HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /exa mple.com/@v/list HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /\0/@v/list HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET example.com/hello/@v/list HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET ftp://x/y HTTP/1.1\r\nHost: x\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /nothing/@v/list HTTP/1.1\r\nHost: \r\n\r\n",
      "GET /nothing/@v/list HTTP/1.1\r\nHost: a b\r\n\r\n",
      "GET /nothing/@v/list HTTP/1.1\r\nHost: [::\r\n\r\n",
      "GET /nothing/@v/list HTTP/1.1\r\nHost: x/../y\r\n\r\n",
      "GET /nothing/@v/list HTTP/1.1\r\n\r\n",
      "GET /nothing/@v/list HTTP/9.9\r\nHost: x\r\n\r\n",
      `GET /nothing/@v/list HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(100_000)}\r\n\r\n`,
      "POST /nothing/@v/list HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "POST /nothing/@v/list HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "\u0016\u0003\u0001\u0002\0\u0001\0",
    ];
    const said = await Promise.all(lines.map(async (line) => await sendRaw(server.url, line)));
    expect(said.filter((answer) => answer.startsWith("HTTP/1.1 5"))).toEqual([]);
    expect(upstream.requests).toEqual([]);
    expect(await server.ask("/example.com/hello/@v/list")).toMatchObject({ status: 200 });
  });
});

/** Good paths, each spoiled in a way that no rule could allow. */
function generate(count: number): string[] {
  const random = makeRandom(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  return Array.from({ length: count }, () => {
    let path = pick(GOOD);
    for (let times = 1 + Math.floor(random() * 3); times > 0; times--) {
      const at = 1 + Math.floor(random() * (path.length - 1));
      path = path.slice(0, at) + pick(FORBIDDEN) + path.slice(at);
    }
    return path;
  });
}

function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

async function sendAll(server: RunningServer, paths: readonly string[]): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const statuses: number[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (let index = next++; index < paths.length; index = next++) {
        const answer = await ask(server.url, paths[index] ?? "", { agent });
        statuses[index] = answer.status;
      }
    }),
  );
  agent.destroy();
  return statuses;
}

/** Send bytes as they are, and read until the other side is silent or gone. */
async function sendRaw(url: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let said = "";
  socket.setTimeout(500, () => resolve(undefined));
  socket.setEncoding("latin1").on("data", (text: string) => {
    said += text;
  });
  socket.once("close", () => resolve(undefined));
  socket.once("error", () => resolve(undefined));
  socket.write(bytes, "latin1");
  await promise;
  socket.destroy();
  return said;
}
