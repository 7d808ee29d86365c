import { gzipSync } from "node:zlib";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import { alertsOf, raises } from "../support/alerts.ts";
import { FakeUpstream, json, type Reply, text, zip } from "../support/fake-upstream.ts";
import { open } from "../support/http-client.ts";
import {
  makeLargeModule,
  makeModule,
  type ModuleFixture,
  toZipFiles,
} from "../support/module-fixture.ts";
import { concat, writeZip, type ZipFile } from "../support/module/zip-writer.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

// What comes in: damage is refused and leaves nothing, one fetch serves everybody, large files flow.

const MEBIBYTE = 1024 * 1024;
const HTML: Reply = {
  headers: { "Content-Type": "text/html" },
  body: "<!doctype html><title>Sign in</title><p>Welcome to the hotel's network",
};

type Kind = "zip" | "mod" | "info";

/** Kinds of damage; each makes the answer to a request for a module's file. */
const DAMAGES: readonly [string, Kind, (module: ModuleFixture) => Reply][] = [
  ["an HTML page", "zip", () => HTML],
  ["an HTML page", "mod", () => HTML],
  ["an HTML page", "info", () => HTML],
  ["nothing", "zip", () => ({ body: "" })],
  ["nothing", "info", () => ({ body: "" })],
  ["a body that breaks off", "zip", (m) => ({ body: m.zip, sendBytes: m.zip.length - 40 })],
  ["a body that breaks off", "mod", (m) => ({ body: m.mod, sendBytes: 5 })],
  ["a body that breaks off", "info", (m) => ({ body: m.info, sendBytes: 9 })],
  ["a body cut short and announced so", "zip", (m) => ({ body: m.zip.subarray(0, -10) })],
  ["a body without a length, cut short", "zip", (m) => ({ body: m.zip.subarray(0, -10), contentLength: "none" })],
  ["a body up to the end of the connection, cut short", "zip", (m) => ({ body: m.zip.subarray(0, -10), contentLength: "close" })],
  ["a chunked body and a reset", "zip", (m) => ({ body: m.zip, contentLength: "none", sendBytes: 50, ending: "reset" })],
  ["a reset in the middle", "zip", (m) => ({ body: m.zip, sendBytes: 50, ending: "reset" })],
  ["too large a Content-Length", "zip", (m) => ({ body: m.zip, contentLength: m.zip.length + 7 })],
  ["bytes behind the end", "zip", (m) => ({ body: concat([m.zip, Buffer.from("more")]) })],
  ["bytes before the start", "zip", (m) => ({ body: concat([Buffer.from("more"), m.zip]) })],
  ["a flipped bit", "zip", (m) => ({ body: flip(m.zip) })],
  ["another version's prefix", "zip", (m) => damaged(m, (file) => ({ ...file, name: String(file.name).replace("@v1.0.0", "@v1.0.1") }))],
  ["another module's zip", "zip", () => ({ body: makeModule({ path: "other.test/m", version: "v1.0.0" }).zip })],
  ["a name that climbs out", "zip", (m) => damaged(m, undefined, "../../evil.go")],
  ["two names that differ in case only", "zip", (m) => damaged(m, undefined, "A.go")],
  ["the same name twice", "zip", (m) => damaged(m, undefined, "a.go")],
  ["a backslash in a name", "zip", (m) => damaged(m, undefined, "x\\y.go")],
  ["a nested go.mod in capitals", "zip", (m) => damaged(m, undefined, "GO.MOD")],
  ["a local header that names another file", "zip", (m) => damaged(m, (file) => ({ ...file, local: { name: String(file.name).replace("a.go", "b.go") } }))],
  ["a size that is not the real one", "zip", (m) => damaged(m, (file) => ({ ...file, both: { uncompressedBytes: 3 }, trailer: { uncompressedBytes: 3 } }))],
  ["a CRC that is not the real one", "zip", (m) => damaged(m, (file) => ({ ...file, both: { crc32: 1 }, trailer: { crc32: 1 } }))],
  ["an encrypted entry", "zip", (m) => damaged(m, (file) => ({ ...file, both: { flags: 9 } }))],
  ["an unknown method", "zip", (m) => damaged(m, (file) => ({ ...file, both: { method: 99 } }))],
  ["more entries than it names", "zip", (m) => ({ body: writeZip(filesOf(m), { entries: 1 }) })],
  ["a go.mod that is no go.mod", "mod", () => text("this is { not a go.mod\n")],
  ["a go.mod of more than 16 MiB", "mod", (m) => text(`${m.mod}//${"x".repeat(16 * MEBIBYTE)}\n`)],
  ["another version's info", "info", () => json(`{"Version":"v1.0.1","Time":"2021-02-03T04:05:06Z"}`)],
  ["an info without a version", "info", () => json(`{"Time":"2021-02-03T04:05:06Z"}`)],
  ["an info that is a list", "info", () => json(`["v1.0.0"]`)],
  ["an info with an impossible time", "info", () => json(`{"Version":"v1.0.0","Time":"yesterday"}`)],
  ["an info that is cut", "info", () => json(`{"Version":"v1.0.0","Ti`)],
]; // prettier-ignore

describe.each(STORAGES)("ingest with --storage %s", (storage) => {
  let upstream: FakeUpstream;
  let server: RunningServer;

  beforeAll(async () => {
    upstream = await FakeUpstream.start();
    server = await startServer({ storage, upstream: upstream.url });
  });

  afterAll(async () => {
    await server.stop();
    await upstream.down();
  });

  describe("of damage", () => {
    it.for(DAMAGES.map(([what, kind, damage], index) => ({ what, kind, damage, index })))(
      "$what as .$kind is 502 with the reason; nothing is stored; the next good try heals",
      async ({ kind, damage, index }, { expect }) => {
        const module = makeModule({ path: `damage${index}.test/m`, version: "v1.0.0" });
        const path = `/${module.base}.${kind}`;
        upstream.on(path, damage(module));
        const answers = [await server.ask(path), await server.ask(path)];
        for (const { status, headers, text: body } of answers) {
          expect(status).toBe(502);
          expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
          expect(body.split("\n", 1)[0]?.length).toBeGreaterThan(20);
        }
        expect(keysOf(server, `damage${index}.test`)).toEqual([]);
        upstream.add(module);
        const healed = await server.ask(path);
        expect(healed.status).toBe(200);
        expect(healed.body.equals(Buffer.from(module[kind]))).toBe(true);
      },
    );

    it("a list that is a page is 502, and so are a latest and a query", async ({ expect }) => {
      for (const name of ["@v/list", "@latest", "@v/main.info"]) {
        const path = `/htmllist.test/m/${name}`;
        upstream.on(path, HTML);
        const { status, text: body } = await server.ask(path);
        expect({ name, status, body }).toMatchObject({ name, status: 502 });
        upstream.on(path, name === "@v/list" ? text("v1.0.0\n") : json(`{"Version":"v1.0.0"}`));
        expect((await server.ask(path)).status).toBe(200);
      }
    });

    it("a latest or query without a usable version is 502", async ({ expect }) => {
      const bodies = [
        `{"Version":"main"}`, `{"Version":""}`, `{"Version":"v1"}`, `{"Version":"v2.0.0"}`, `{}`,
        `{"Version":"v0.0.0-20210203040506-abcdefabcdef","Time":"2022-02-03T04:05:06Z"}`,
      ]; // prettier-ignore
      for (const [index, body] of bodies.entries()) {
        for (const name of ["@latest", "@v/main.info"]) {
          const path = `/badlatest${index}.test/m/${name}`;
          upstream.on(path, json(body));
          expect({ body, name, status: (await server.ask(path)).status }).toEqual({
            body,
            name,
            status: 502,
          });
        }
      }
    });

    it("a go.mod that disagrees with the zip's own is refused, whichever comes first", async ({
      expect,
    }) => {
      const first = makeModule({ path: "disagree.test/a", version: "v1.0.0" });
      upstream.add(first);
      upstream.on(`/${first.base}.mod`, text("module disagree.test/other\n"));
      expect((await server.ask(`/${first.base}.zip`)).status).toBe(200);
      expect((await server.ask(`/${first.base}.mod`)).status).toBe(502);
      upstream.on(`/${first.base}.mod`, text(first.mod));
      expect((await server.ask(`/${first.base}.mod`)).text).toBe(first.mod);

      const second = makeModule({ path: "disagree.test/b", version: "v1.0.0" });
      upstream.add(second);
      upstream.on(`/${second.base}.mod`, text("module disagree.test/other\n"));
      expect((await server.ask(`/${second.base}.mod`)).status).toBe(200);
      expect((await server.ask(`/${second.base}.zip`)).status).toBe(502);
      expect(keysOf(server, "disagree.test/b").filter((key) => key.endsWith(".zip"))).toEqual([]);
      // Once the source agrees with itself, the stored go.mod is replaced with the zip's.
      upstream.on(`/${second.base}.mod`, text(second.mod));
      expect((await server.ask(`/${second.base}.zip`)).status).toBe(200);
      expect((await server.ask(`/${second.base}.mod`)).text).toBe(second.mod);
    });

    it("a go.mod that names another module is served: forks exist", async ({ expect }) => {
      const fork = makeModule({
        path: "fork.test/m",
        version: "v1.0.0",
        goMod: "module original.test/m\n",
      });
      upstream.add(fork);
      expect((await server.ask(`/${fork.base}.mod`)).text).toBe(fork.mod);
      expect((await server.ask(`/${fork.base}.zip`)).status).toBe(200);
    });

    it("a gzip that was not asked for is unpacked, and a bomb is cut off", async ({ expect }) => {
      const module = makeModule({ path: "gzip.test/m", version: "v1.0.0" });
      upstream.on(`/${module.base}.mod`, {
        headers: { "Content-Encoding": "gzip" },
        body: gzipSync(module.mod),
      });
      expect((await server.ask(`/${module.base}.mod`)).text).toBe(module.mod);
      const bomb = gzipSync(Buffer.alloc(200 * MEBIBYTE, "/"));
      for (const name of ["@v/v1.0.0.mod", "@v/v1.0.0.info", "@v/list"]) {
        const path = `/bomb.test/m/${name}`;
        upstream.on(path, { headers: { "Content-Encoding": "gzip" }, body: bomb });
        expect({ name, status: (await server.ask(path)).status }).toEqual({ name, status: 502 });
      }
      expect(keysOf(server, "bomb.test")).toEqual([]);
    });
  });

  describe("once", () => {
    it("the first bytes stay for ever, whatever the upstream says later", async ({ expect }) => {
      const module = makeModule({ path: "first.test/m", version: "v1.0.0" });
      const later = makeModule({
        path: "first.test/m",
        version: "v1.0.0",
        time: "2022-01-01T00:00:00Z",
        files: { "b.go": "package b\n" },
      });
      upstream.add(module);
      const kinds: Kind[] = ["info", "mod", "zip"];
      for (const kind of kinds) await server.ask(`/${module.base}.${kind}`);
      upstream.add(later);
      for (const kind of kinds) {
        const { body } = await server.ask(`/${module.base}.${kind}`);
        expect(body.equals(Buffer.from(module[kind]))).toBe(true);
      }
    });

    it("a .mod is fetched without its zip, an .info without either", async ({ expect }) => {
      const module = makeModule({ path: "alone.test/m", version: "v1.0.0" });
      upstream.add(module);
      await server.ask(`/${module.base}.mod`);
      await server.ask(`/${module.base}.info`);
      expect(upstream.requests.filter(({ path }) => path.includes("alone.test"))).toHaveLength(2);
      expect(keysOf(server, "alone.test")).toEqual([
        `public/${module.base}.info`,
        `public/${module.base}.mod`,
      ]);
    });

    it("60 clients at once for a cold zip of 3 MB make one upstream fetch", async ({ expect }) => {
      const module = makeLargeModule("stampede.test/m", "v1.0.0", 3 * MEBIBYTE);
      const path = `/${module.base}.zip`;
      upstream.on(path, { ...zip(module.zip), delayMs: 100, pieces: 10, pauseMs: 30 });
      const answers = await Promise.all(
        Array.from({ length: 60 }, async () => await server.ask(path)),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect(answers.every(({ body }) => body.equals(module.zip))).toBe(true);
      expect(upstream.count(path)).toBe(1);
    });

    it("clients that leave mid-way, the first ones too, do not stop the fetch", async ({
      expect,
    }) => {
      const module = makeLargeModule("leave.test/m", "v1.0.0", 3 * MEBIBYTE);
      const path = `/${module.base}.zip`;
      upstream.on(path, { ...zip(module.zip), delayMs: 100, pieces: 10, pauseMs: 50 });
      const first = open(server.url, path);
      await wait(20);
      const leaving = Array.from({ length: 19 }, async () => await open(server.url, path));
      const staying = Array.from({ length: 40 }, async () => await server.ask(path));
      const response = await first;
      await new Promise((resolve) => response.once("data", resolve));
      response.destroy();
      for (const other of leaving) void other.then((late) => late.destroy()).catch(() => undefined);
      const answers = await Promise.all(staying);
      expect(answers.every(({ status }) => status === 200)).toBe(true);
      expect(answers.every(({ body }) => body.equals(module.zip))).toBe(true);
      await Promise.allSettled(leaving);
      expect(upstream.count(path)).toBe(1);
    });

    it("a fetch goes on although everybody has left before its first byte", async ({ expect }) => {
      const module = makeLargeModule("alone2.test/m", "v1.0.0", 2 * MEBIBYTE);
      const path = `/${module.base}.zip`;
      upstream.on(path, { ...zip(module.zip), delayMs: 400, pieces: 5, pauseMs: 50 });
      const controller = new AbortController();
      const asked = fetch(server.url + path, { signal: controller.signal }).catch(() => undefined);
      await wait(150);
      controller.abort();
      await asked;
      const answer = await waitFor(async () => await server.ask(`/cached-only${path}`), 4000);
      expect(answer?.body.equals(module.zip)).toBe(true);
      expect(upstream.count(path)).toBe(1);
    });
  });

  describe("of large zips", () => {
    it("sends the first byte of a cold 10 MB zip before the upstream has sent its last", async ({
      expect,
    }) => {
      const module = makeLargeModule("ttfb.test/m", "v1.0.0", 10 * MEBIBYTE);
      const path = `/${module.base}.zip`;
      upstream.on(path, { ...zip(module.zip), pieces: 20, pauseMs: 60 });
      const startedMs = performance.now();
      const response = await open(server.url, path);
      let firstMs = 0;
      const chunks: Buffer[] = [];
      for await (const chunk of response) {
        if (firstMs === 0) firstMs = performance.now() - startedMs;
        chunks.push(chunk as Buffer);
      }
      const lastMs = performance.now() - startedMs;
      expect(firstMs).toBeLessThan(700);
      expect(lastMs).toBeGreaterThan(1100);
      expect(response.headers["content-length"]).toBe(String(module.zip.length));
      expect(response.headers).not.toHaveProperty("etag");
      expect(Buffer.concat(chunks).equals(module.zip)).toBe(true);
    });

    it("takes one of more than 16 MiB through staging, with and without a length", async ({
      expect,
    }) => {
      for (const contentLength of [undefined, "none", "close"] as const) {
        const path = `/staged-${contentLength}.test/m`;
        const module = makeLargeModule(path.slice(1), "v1.0.0", 18 * MEBIBYTE);
        upstream.on(`/${module.base}.zip`, {
          ...zip(module.zip),
          ...(contentLength === undefined ? {} : { contentLength }),
        });
        const cold = await server.ask(`/${module.base}.zip`);
        expect(cold.body.equals(module.zip)).toBe(true);
        const warm = await server.ask(`/${module.base}.zip`);
        expect(warm.body.equals(module.zip)).toBe(true);
        const slice = await server.ask(`/${module.base}.zip`, {
          headers: { Range: "bytes=17000000-17000099" },
        });
        expect(slice.body.equals(module.zip.subarray(17_000_000, 17_000_100))).toBe(true);
        expect(upstream.count(`/${module.base}.zip`)).toBe(1);
      }
      expect(server.stored().filter((key) => key.includes("staging"))).toEqual([]);
    });

    it("answers a slice of a cold one after the commit", async ({ expect }) => {
      const module = makeLargeModule("coldrange.test/m", "v1.0.0", 18 * MEBIBYTE);
      upstream.on(`/${module.base}.zip`, zip(module.zip));
      const slice = await server.ask(`/${module.base}.zip`, {
        headers: { Range: "bytes=100-199" },
      });
      expect(slice.status).toBe(206);
      expect(slice.body.equals(module.zip.subarray(100, 200))).toBe(true);
      const head = await server.ask(`/${module.base}.zip`, { method: "HEAD" });
      expect(head.headers["content-length"]).toBe(String(module.zip.length));
    });

    it.for([2, 18])(
      "gives a short body for a corrupted one of %i MiB, and stores nothing",
      async (size, { expect }) => {
        const module = makeLargeModule(`corrupt${size}.test/m`, "v1.0.0", size * MEBIBYTE);
        const path = `/${module.base}.zip`;
        upstream.on(path, zip(flip(module.zip)));
        await expect(server.ask(path)).rejects.toThrow(
          /broke off|aborted|ECONNRESET|socket hang up/,
        );
        expect(keysOf(server, `corrupt${size}.test`)).toEqual([]);
        expect(server.stored().filter((key) => key.includes("staging"))).toEqual([]);
        expect((await server.ask(path, { method: "HEAD" })).status).toBe(502);
        upstream.on(path, zip(module.zip));
        const healed = await server.ask(path);
        expect(healed.body.equals(module.zip)).toBe(true);
      },
    );

    it("gives a short body when the upstream breaks off, and the next try heals", async ({
      expect,
    }) => {
      for (const [index, ending] of (["end", "reset"] as const).entries()) {
        const module = makeLargeModule(`breaks${index}.test/m`, "v1.0.0", 18 * MEBIBYTE);
        const path = `/${module.base}.zip`;
        upstream.on(path, { ...zip(module.zip), sendBytes: 17 * MEBIBYTE, ending });
        await expect(server.ask(path)).rejects.toThrow(
          /broke off|aborted|ECONNRESET|socket hang up/,
        );
        expect(keysOf(server, `breaks${index}.test`)).toEqual([]);
        expect(server.stored().filter((key) => key.includes("staging"))).toEqual([]);
        // The status went out before: the log alone can say why.
        expect(await raises(server, "zip-cut-off", index + 1)).toBe(true);
        expect(alertsOf(server, "zip-cut-off")[index]).toMatchObject({ "url.path": path.slice(1) });
        upstream.on(path, zip(module.zip));
        expect((await server.ask(path)).body.equals(module.zip)).toBe(true);
      }
    });

    it("lets a slow client take its time", async ({ expect }) => {
      const module = makeLargeModule("slow.test/m", "v1.0.0", 12 * MEBIBYTE);
      const path = `/${module.base}.zip`;
      upstream.on(path, zip(module.zip));
      const response = await open(server.url, path);
      await wait(1500);
      expect(keysOf(server, "slow.test")).toContain(`public${path}`);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).equals(module.zip)).toBe(true);
    });
  });
});

/** Keys of stored files of a host's modules, records and lists of the static tree aside. */
function keysOf(server: RunningServer, host: string): string[] {
  return server.stored().filter((key) => key.includes(`/${host}`) && !key.endsWith("/@v/list"));
}

function filesOf({ path, version, mod }: ModuleFixture): ZipFile[] {
  return toZipFiles({ path, version }, mod);
}

/** A zip with one entry changed, or one entry more. */
function damaged(
  module: ModuleFixture,
  change?: (file: ZipFile) => ZipFile,
  extraName?: string,
): Reply {
  const files = filesOf(module).map((file, index) =>
    index === 1 && change !== undefined ? change(file) : file,
  );
  if (extraName !== undefined) {
    files.push({ name: `${module.path}@${module.version}/${extraName}`, content: "package x\n" });
  }
  return zip(writeZip(files));
}

function flip(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = Math.floor(copy.length / 3);
  copy[at] = (copy[at] ?? 0) ^ 4;
  return copy;
}

async function waitFor<T extends { readonly status: number }>(
  get: () => Promise<T>,
  limitMs: number,
): Promise<T | undefined> {
  const endMs = Date.now() + limitMs;
  while (Date.now() < endMs) {
    const answer = await get();
    if (answer.status === 200) return answer;
    await wait(50);
  }
  return undefined;
}
