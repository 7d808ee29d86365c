import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, type ExpectStatic, it } from "vitest";
import { FakeUpstream, json, text } from "../support/fake-upstream.ts";
import { type Answer, ask } from "../support/http-client.ts";
import { makeLargeModule, makeModule, readFixtures } from "../support/module-fixture.ts";
import { eventually, type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

// The GOPROXY protocol as a client sees it, on both sets of bindings, before an upstream that does
// what each test tells it. Every test has modules of its own, so that none depends on another.

const IMMUTABLE = "public, max-age=31536000, immutable";
const MEBIBYTE = 1024 * 1024;

describe.each(STORAGES)("the protocol with --storage %s", (storage) => {
  let upstream: FakeUpstream;
  let server: RunningServer;

  beforeAll(async () => {
    upstream = await FakeUpstream.start(readFixtures());
    server = await startServer({ storage, upstream: upstream.url });
  });

  afterAll(async () => {
    await server.stop();
    await upstream.down();
  });

  describe("answers", () => {
    it("list, info, mod, zip and latest with the bytes of the upstream", async ({ expect }) => {
      const module = makeModule({ path: "bytes.test/m", version: "v1.2.3" });
      upstream.add(module);

      const info = await server.ask("/bytes.test/m/@v/v1.2.3.info");
      const mod = await server.ask("/bytes.test/m/@v/v1.2.3.mod");
      const zip = await server.ask("/bytes.test/m/@v/v1.2.3.zip");
      const list = await server.ask("/bytes.test/m/@v/list");
      const latest = await server.ask("/bytes.test/m/@latest");

      expect([info, mod, zip, list, latest].map(({ status }) => status)).toEqual([
        200, 200, 200, 200, 200,
      ]);
      expect(info.text).toBe(module.info);
      expect(mod.text).toBe(module.mod);
      expect(zip.body.equals(module.zip)).toBe(true);
      expect(list.text).toBe("v1.2.3\n");
      expect(latest.text).toBe(module.info);
      expect([info, mod, zip, list, latest].map(({ headers }) => headers["content-type"])).toEqual([
        "application/json",
        "text/plain; charset=utf-8",
        "application/zip",
        "text/plain; charset=utf-8",
        "application/json",
      ]);
    });

    it("a stored file again without its upstream being asked", async ({ expect }) => {
      upstream.add(makeModule({ path: "once.test/m", version: "v1.0.0" }));
      for (const kind of ["info", "mod", "zip"]) {
        const path = `/once.test/m/@v/v1.0.0.${kind}`;
        const first = await server.ask(path);
        const second = await server.ask(path);
        expect(second.body.equals(first.body)).toBe(true);
        expect(upstream.count(path)).toBe(1);
      }
    });

    it("a branch, a hash and a short version with what they stand for", async ({ expect }) => {
      const pseudo = `{"Version":"v0.0.0-20210203040506-abcdefabcdef","Time":"2021-02-03T04:05:06Z"}`;
      for (const query of ["master", "abcdefabcdef", "v1", "v1.2", "dev_branch.x"]) {
        upstream.on(`/query.test/m/@v/${query}.info`, json(pseudo));
        const answer = await server.ask(`/query.test/m/@v/${query}.info`);
        expect({ query, status: answer.status, text: answer.text }).toEqual({
          query,
          status: 200,
          text: pseudo,
        });
        expect(answer.headers["cache-control"]).toBe("no-cache");
      }
    });

    it("capitals, + and majors under one key, however they are spelled", async ({ expect }) => {
      const paths = [
        [
          "/example.com/!caps/!mod/@v/v1.0.0-!r!c1.info",
          "/example.com/%21caps/%21mod/@v/v1.0.0-%21r%21c1.info",
        ],
        [
          "/example.com/old/@v/v2.0.0+incompatible.zip",
          "/example.com/old/@v/v2.0.0%2Bincompatible.zip",
        ],
        [
          "/example.com/old/@v/v2.0.0+incompatible.mod",
          "/example.com/old/%40v/v2.0.0%2bincompatible.mod",
        ],
      ] as const;
      for (const [literal, escaped] of paths) {
        const first = await server.ask(escaped);
        const second = await server.ask(literal);
        expect({ literal, status: first.status }).toEqual({ literal, status: 200 });
        expect(second.body.equals(first.body)).toBe(true);
        expect(upstream.count(literal)).toBe(1);
      }
      const keys = server.stored().filter((key) => key.includes("/old/"));
      expect(keys).toContain("public/example.com/old/@v/v2.0.0+incompatible.zip");
      expect(keys.filter((key) => key.includes("%"))).toEqual([]);
    });

    it("gopkg.in, /vN and pseudo-versions", async ({ expect }) => {
      const modules = [
        makeModule({ path: "gopkg.in/check.v1", version: "v1.0.0" }),
        makeModule({ path: "gopkg.in/old.v1", version: "v0.0.0-20210203040506-abcdefabcdef" }),
        makeModule({ path: "majors.test/m/v2", version: "v2.3.4" }),
        makeModule({ path: "majors.test/m", version: "v0.0.0-20210203040506-abcdefabcdef" }),
        makeModule({ path: "majors.test/m", version: "v1.2.4-0.20210203040506-abcdefabcdef" }),
      ];
      for (const module of modules) {
        upstream.add(module);
        for (const kind of ["info", "mod", "zip"]) {
          const { status, text: said } = await server.ask(`/${module.base}.${kind}`);
          expect({ base: module.base, kind, status, said: status === 200 ? "" : said }).toEqual({
            base: module.base,
            kind,
            status: 200,
            said: "",
          });
        }
      }
    });

    it("the same, whatever query string stands behind the path", async ({ expect }) => {
      const module = makeModule({ path: "querystring.test/m", version: "v1.0.0" });
      upstream.add(module);
      const first = await server.ask("/querystring.test/m/@v/v1.0.0.zip?token=sEcReT&x=%zz");
      const second = await server.ask("/querystring.test/m/@v/v1.0.0.zip?other");
      expect([first.status, second.status]).toEqual([200, 200]);
      expect(first.body.equals(module.zip)).toBe(true);
      const asked = upstream.requests.filter(({ path }) => path.includes("querystring"));
      expect(asked.map(({ path }) => path)).toEqual(["/querystring.test/m/@v/v1.0.0.zip"]);
      expect(server.process.stdout).not.toContain("sEcReT");
      expect(server.stored().join("\n")).not.toContain("token");
    });

    it("health and readiness, and a page with the line to copy", async ({ expect }) => {
      const health = await server.ask("/-/healthz");
      const ready = await server.ask("/-/readyz");
      const page = await server.ask("/");
      expect(health.status).toBe(200);
      expect({ status: ready.status, body: JSON.parse(ready.text) as unknown }).toMatchObject({
        status: 200,
        body: { status: "ready" },
      });
      expect(page.status).toBe(200);
      expect(page.headers["content-type"]).toMatch(/^text\/html/);
      expect(page.text).toContain(`GOPROXY=${server.url}`);
      for (const { headers } of [health, ready, page]) {
        expect(headers["x-content-type-options"]).toBe("nosniff");
      }
    });
  });

  describe("headers", () => {
    it("of immutable files let anybody keep them for a year; ETag is the quoted sha256", async ({
      expect,
    }) => {
      const module = makeModule({ path: "etag.test/m", version: "v1.0.0" });
      upstream.add(module);
      for (const kind of ["info", "mod", "zip"]) {
        await server.ask(`/etag.test/m/@v/v1.0.0.${kind}`);
        const { headers, body } = await server.ask(`/etag.test/m/@v/v1.0.0.${kind}`);
        expect(headers).toMatchObject({
          "cache-control": IMMUTABLE,
          etag: sha256Tag(body),
          "content-length": String(body.length),
          "x-content-type-options": "nosniff",
        });
      }
    });

    it("of lists and of latest make caches ask again; they have an ETag too", async ({
      expect,
    }) => {
      upstream.add(makeModule({ path: "listetag.test/m", version: "v1.0.0" }));
      for (const path of ["/listetag.test/m/@v/list", "/listetag.test/m/@latest"]) {
        const { headers, body } = await server.ask(path);
        expect(headers["cache-control"]).not.toMatch(/immutable|max-age=[1-9]/);
        expect(headers.etag).toBe(sha256Tag(body));
      }
    });

    it("of a HEAD are those of the GET, cold and warm, without a body", async ({ expect }) => {
      upstream.add(makeModule({ path: "head.test/m", version: "v1.0.0" }));
      const paths = ["v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip", "list"].map((name) => `@v/${name}`);
      for (const name of [...paths, "@latest", "@v/v1.9.9.info"]) {
        const path = `/head.test/m/${name}`;
        const cold = await server.ask(path, { method: "HEAD" });
        const warm = await server.ask(path, { method: "HEAD" });
        const get = await server.ask(path);
        expect({ path, status: cold.status }).toEqual({ path, status: get.status });
        expect(cold.body).toHaveLength(0);
        for (const head of [cold, warm]) {
          for (const header of ["content-type", "etag", "cache-control", "content-length"]) {
            if (get.status !== 200 && header === "content-length") continue;
            expect({ path, header, value: head.headers[header] }).toEqual({
              path,
              header,
              value: get.headers[header],
            });
          }
        }
      }
    });

    it("If-None-Match is 304 without a body, If-Match that fails is 412", async ({ expect }) => {
      upstream.add(makeModule({ path: "cond.test/m", version: "v1.0.0" }));
      for (const name of ["@v/v1.0.0.info", "@v/v1.0.0.zip", "@v/list"]) {
        const path = `/cond.test/m/${name}`;
        const { headers } = await server.ask(path, { method: "HEAD" });
        const etag = headers.etag ?? "";
        const send = async (name_: string, value: string) =>
          await server.ask(path, { headers: { [name_]: value } });
        for (const value of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
          const answer = await send("If-None-Match", value);
          expect({ path, value, status: answer.status, size: answer.body.length }).toEqual({
            path,
            value,
            status: 304,
            size: 0,
          });
          expect(answer.headers.etag).toBe(etag);
        }
        expect((await send("If-None-Match", '"other"')).status).toBe(200);
        for (const value of ['"other"', `W/${etag}`]) {
          const failed = await send("If-Match", value);
          expect({ value, status: failed.status }).toEqual({ value, status: 412 });
          expectErrorBody(expect, failed);
          const asking = { method: "HEAD", headers: { "If-Match": value } };
          const head = await server.ask(path, asking);
          expect({ status: head.status, size: head.body.length }).toEqual({ status: 412, size: 0 });
        }
        expect((await send("If-Match", etag)).status).toBe(200);
        expect((await send("If-Match", "*")).status).toBe(200);
      }
    });

    it("Range is 206 with the slice, cold and warm, and 416 outside of the file", async ({
      expect,
    }) => {
      const module = makeLargeModule("range.test/m", "v1.0.0", 2 * MEBIBYTE);
      const small = makeModule({ path: "range.test/small", version: "v1.0.0" });
      upstream.add(module);
      upstream.add(small);
      for (const { base, zip } of [module, small]) {
        const size = zip.length;
        const cases: [string, number, number][] = [
          ["bytes=0-9", 0, 10],
          ["bytes=5-5", 5, 6],
          [`bytes=${size - 3}-`, size - 3, size],
          ["bytes=-7", size - 7, size],
          [`bytes=10-${size + 1000}`, 10, size],
          [`bytes=-${size + 5}`, 0, size],
        ];
        for (const [range, start, end] of cases) {
          const answer = await server.ask(`/${base}.zip`, { headers: { Range: range } });
          expect({ range, status: answer.status }).toEqual({ range, status: 206 });
          expect(answer.headers["content-range"]).toBe(`bytes ${start}-${end - 1}/${size}`);
          expect(answer.body.equals(zip.subarray(start, end))).toBe(true);
        }
        for (const range of [`bytes=${size}-`, "bytes=-0"]) {
          const answer = await server.ask(`/${base}.zip`, { headers: { Range: range } });
          expect({ range, status: answer.status }).toEqual({ range, status: 416 });
          expect(answer.headers["content-range"]).toBe(`bytes */${size}`);
          expectErrorBody(expect, answer);
        }
        for (const range of ["bytes=9-3", "bytes=", "bytes=a-b", "lines=0-1"]) {
          const answer = await server.ask(`/${base}.zip`, { headers: { Range: range } });
          expect({ range, status: answer.status }).toEqual({ range, status: 200 });
        }
      }
    });

    it("If-Range takes the slice only of the file it names", async ({ expect }) => {
      const module = makeModule({ path: "ifrange.test/m", version: "v1.0.0" });
      upstream.add(module);
      const path = "/ifrange.test/m/@v/v1.0.0.zip";
      await server.ask(path);
      const etag = sha256Tag(Buffer.from(module.zip));
      const same = await server.ask(path, { headers: { Range: "bytes=0-3", "If-Range": etag } });
      const other = await server.ask(path, { headers: { Range: "bytes=0-3", "If-Range": '"x"' } });
      expect([same.status, other.status]).toEqual([206, 200]);
      expect(other.body.equals(module.zip)).toBe(true);
    });
  });

  describe("refusals", () => {
    it("any other method is 405 with Allow, for every kind of address", async ({ expect }) => {
      const before = upstream.requests.length;
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        for (const path of ["/example.com/hello/@v/list", "/example.com/hello/@v/v1.0.0.zip"]) {
          const answer = await server.ask(path, { method });
          expect({ method, path, status: answer.status }).toEqual({ method, path, status: 405 });
          expect(answer.headers.allow).toBe("GET, HEAD");
        }
      }
      expect(upstream.requests).toHaveLength(before);
    });

    it("error bodies are short plain text that ends with the request's id", async ({ expect }) => {
      upstream.on(
        "/longerror.test/m/@v/list",
        text(`${"é".repeat(5000)}\n\n${"x\n".repeat(50)}`, 404),
      );
      upstream.on("/longerror.test/m2/@v/list", text(`not found: ${"y".repeat(5000)}`, 404));
      upstream.on("/longerror.test/m3/@v/list", text("z".repeat(5000), 403));
      const answers = [
        await server.ask("/longerror.test/m/@v/list"),
        await server.ask("/longerror.test/m2/@v/list"),
        await server.ask("/longerror.test/m3/@v/list"),
        await server.ask("/unknown.test/m/@v/v1.0.0.zip"),
        await server.ask("/cached-only/unknown.test/m/@v/v1.0.0.zip"),
        await server.ask("/no-dot/@v/list"),
        await server.ask("/example.com/hello/@v/latest.info"),
        await server.ask("/example.com/hello/@v/list", { method: "POST" }),
        await server.ask("/t/acme/example.com/hello/@v/list"),
        await server.ask("/sumdb/other.test/supported"),
      ];
      for (const answer of answers) {
        expectErrorBody(expect, answer);
        expect(answer.status).toBeLessThan(500);
      }
      const ids = answers.map(({ text: body }) => body.trimEnd().split("\n").at(-1));
      expect(new Set(ids).size).toBe(answers.length);
    });

    it("the client's own queries, wrong majors and non-canonical versions are 404, unasked", async ({
      expect,
    }) => {
      const before = upstream.requests.length;
      const names = [
        "latest.info", "upgrade.info", "patch.info", "v1.mod", "v1.0.zip", "master.mod", "master.zip",
        "v1.0.0+meta.mod", "v2.0.0.mod", "v2.0.0.zip", "v01.0.0.zip", "v1.0.0-.mod", ".info", "v1.0.0.exe",
        "v1.0.0", "latest.zip", "list.mod", "v1.0.0.ziphash", "v1.0.0.lock",
      ]; // prettier-ignore
      for (const name of names) {
        const answer = await server.ask(`/major.test/m/@v/${name}`);
        expect({ name, status: answer.status }).toEqual({ name, status: 404 });
      }
      for (const path of [
        "/major.test/m/v2/@v/v1.0.0.zip",
        "/gopkg.in/x.v2/@v/v1.0.0.mod",
        "/major.test/m/v1/@v/list",
        "/major.test/m/v02/@v/list",
        "/gopkg.in/x/@v/list",
      ]) {
        const answer = await server.ask(path);
        expect({ path, status: answer.status }).toEqual({ path, status: 404 });
      }
      expect(upstream.requests).toHaveLength(before);
    });

    it("paths and elements that are too long are 404 `too long`, unasked", async ({ expect }) => {
      const before = upstream.requests.length;
      const longElement = `/a.test/${"x".repeat(201)}/@v/list`;
      const longPath = `/a.test/${"x".repeat(100)}${`/${"y".repeat(99)}`.repeat(5)}/@v/list`;
      const longVersion = `/a.test/m/@v/v1.0.0-${"x".repeat(200)}.info`;
      const longCapitals = `/a.test/${"!a".repeat(101)}/@v/list`;
      for (const path of [longElement, longPath, longVersion, longCapitals]) {
        const { status, text: body } = await server.ask(path);
        expect(status).toBe(404);
        expect(body).toContain("too long");
      }
      expect(upstream.requests).toHaveLength(before);
      const fits = await server.ask(`/a.test/${"x".repeat(200)}/@v/v1.0.0.zip`);
      expect(fits.status).toBe(404);
      expect(upstream.requests).toHaveLength(before + 1);
    });
  });

  describe("lists", () => {
    it("hold canonical versions of the right major, sorted, and no pseudo-versions", async ({
      expect,
    }) => {
      upstream.on(
        "/filter.test/m/@v/list",
        text(
          "v1.10.0\r\nv1.2.0 2021-02-03T04:05:06Z\nv1\nv1.0\nv2.0.0\nv2.0.0+incompatible\nv1.2.0\n" +
            "v1.0.0+meta\njunk\n\nv1.3.0-rc.1\nv0.0.0-20210203040506-abcdefabcdef\nv1.2.0-\n1.2.3\n",
        ),
      );
      const { status, text: body } = await server.ask("/filter.test/m/@v/list");
      expect(status).toBe(200);
      expect(body).toBe("v1.2.0\nv1.3.0-rc.1\nv1.10.0\nv2.0.0+incompatible\n");
    });

    it("that are empty stand only for a module that exists", async ({ expect }) => {
      const info = `{"Version":"v0.0.0-20210203040506-abcdefabcdef"}`;
      upstream.on("/empty.test/absent/@v/list", text(""));
      upstream.on("/empty.test/untagged/@v/list", text(""));
      upstream.on("/empty.test/untagged/@latest", json(info));
      const absent = await server.ask("/empty.test/absent/@v/list");
      const untagged = await server.ask("/empty.test/untagged/@v/list");
      expect({ status: absent.status }).toEqual({ status: 404 });
      expect({ status: untagged.status, body: untagged.text }).toEqual({ status: 200, body: "" });
    });

    it("of nothing but pseudo-versions are empty, and the newest counts for latest", async ({
      expect,
    }) => {
      const newest = "v0.0.0-20220203040506-bbbbbbbbbbbb";
      const info = `{"Version":"${newest}","Time":"2022-02-03T04:05:06Z"}`;
      upstream.on(
        "/pseudo.test/m/@v/list",
        text(`v0.0.0-20210203040506-aaaaaaaaaaaa\n${newest}\n`),
      );
      upstream.on(`/pseudo.test/m/@v/${newest}.info`, json(info));
      const list = await server.ask("/pseudo.test/m/@v/list");
      const latest = await server.ask("/pseudo.test/m/@latest");
      expect({ status: list.status, body: list.text }).toEqual({ status: 200, body: "" });
      expect({ status: latest.status, body: latest.text }).toEqual({ status: 200, body: info });
    });

    it("give the latest version where the upstream does not", async ({ expect }) => {
      const table: [string, string, string][] = [
        ["release", "v1.0.0\nv1.2.0\nv1.10.0\nv2.0.0-rc.1+incompatible\nv1.11.0-beta\n", "v1.10.0"],
        ["pre", "v1.0.0-alpha\nv1.0.0-beta\n", "v1.0.0-beta"],
      ];
      for (const [name, list, version] of table) {
        const info = `{"Version":"${version}","Time":"2022-02-03T04:05:06Z"}`;
        upstream.on(`/derive.test/${name}/@v/list`, text(list));
        upstream.on(`/derive.test/${name}/@v/${version}.info`, json(info));
        const answer = await server.ask(`/derive.test/${name}/@latest`);
        expect({ name, status: answer.status, body: answer.text }).toEqual({
          name,
          status: 200,
          body: info,
        });
      }
    });

    it("of an absent module are 404 with the upstream's reason", async ({ expect }) => {
      const list = await server.ask("/absent.test/m/@v/list");
      const latest = await server.ask("/absent.test/m/@latest");
      expect([list.status, latest.status]).toEqual([404, 404]);
      expect(list.text).toMatch(/^not found: /);
    });
  });

  describe("cached-only", () => {
    it("answers what is stored and asks no source, by prefix and by header", async ({ expect }) => {
      upstream.add(makeModule({ path: "only.test/m", version: "v1.0.0" }));
      const paths = ["@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip", "@v/list", "@latest"];
      const header = { "Disable-Module-Fetch": "true" };
      const askBoth = async (name: string) => [
        await server.ask(`/cached-only/only.test/m/${name}`),
        await server.ask(`/only.test/m/${name}`, { headers: header }),
      ];
      const before = upstream.requests.length;
      for (const name of paths) {
        for (const answer of await askBoth(name)) {
          expect({ name, status: answer.status }).toEqual({ name, status: 404 });
          expect(answer.headers["cache-control"]).toMatch(/no-store/);
          expect(answer.headers.vary).toMatch(/Disable-Module-Fetch/i);
        }
      }
      expect(upstream.requests).toHaveLength(before);
      for (const name of paths) await server.ask(`/only.test/m/${name}`);
      const asked = upstream.requests.length;
      for (const name of paths) {
        for (const answer of await askBoth(name)) {
          expect({ name, status: answer.status }).toEqual({ name, status: 200 });
          expect(answer.headers["cache-control"]).toMatch(/no-store/);
          expect(answer.headers.vary).toMatch(/Disable-Module-Fetch/i);
        }
      }
      expect(upstream.requests).toHaveLength(asked);
    });

    it("does not make the ordinary address believe in an absence", async ({ expect }) => {
      upstream.add(makeModule({ path: "only2.test/m", version: "v1.0.0" }));
      await server.ask("/cached-only/only2.test/m/@v/v1.0.0.zip");
      await server.ask("/cached-only/only2.test/m/@v/list");
      expect((await server.ask("/only2.test/m/@v/v1.0.0.zip")).status).toBe(200);
      expect((await server.ask("/only2.test/m/@v/list")).status).toBe(200);
    });
  });

  describe("sources", () => {
    it("absence is asked for once, not once per client", async ({ expect }) => {
      for (const path of [
        "/negative.test/m/@v/list",
        "/negative.test/m/@v/v1.0.0.zip",
        "/negative.test/m/@latest",
      ]) {
        const answers = await Promise.all([1, 2, 3, 4].map(async () => await server.ask(path)));
        answers.push(await server.ask(path));
        expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
        expect(upstream.count(path)).toBe(1);
      }
    });

    it("an upstream's failure is never an absence", async ({ expect }) => {
      const table: [number, number][] = [
        [500, 502], [502, 502], [503, 502], [400, 502], [401, 502], [403, 403], [418, 502], [429, 429], [410, 404],
        [204, 502], [206, 502], [304, 502],
      ]; // prettier-ignore
      for (const [theirs, ours] of table) {
        for (const name of ["@v/list", "@v/v1.0.0.info", "@v/v1.0.0.zip", "@v/master.info"]) {
          const path = `/status.test/s${theirs}/${name}`;
          upstream.on(path, text("its own words\n", theirs));
          const answer = await server.ask(path);
          expect({ path, status: answer.status }).toEqual({ path, status: ours });
        }
      }
    });

    it("an upstream's 403 and 429 come with its words and its Retry-After", async ({ expect }) => {
      const words = "license forbids it\r\n\r\n\u001b[31m世界, see the policy\n";
      upstream.on("/words.test/m/@v/list", text(words, 403));
      upstream.on("/words.test/m3/@v/list", text("slow down\n", 429));
      upstream.on("/words.test/m2/@v/list", {
        ...text("slow down\n", 429),
        headers: { "Content-Type": "text/plain", "Retry-After": "17" },
      });
      const denied = await server.ask("/words.test/m/@v/list");
      const limited = await server.ask("/words.test/m2/@v/list");
      expect(denied.text).toMatch(
        /403: license forbids it\n\[31m世界, see the policy\nrequest-id: .*\n$/,
      );
      expectErrorBody(expect, denied);
      expect(limited.headers["retry-after"]).toBe("17");
      const unknown = await server.ask("/words.test/m3/@v/list");
      expect([unknown.status, unknown.headers["retry-after"]]).toEqual([429, undefined]);
      expect(limited.text).toContain("slow down");
      expect(denied.text + limited.text).not.toContain(`${upstream.port}`);
    });

    it("a passing failure of the upstream is not seen by the client", async ({ expect }) => {
      const module = makeModule({ path: "flaky.test/m", version: "v1.0.0" });
      upstream.add(module);
      upstream.on(`/${module.base}.zip`, (_, count) =>
        count === 1 ? text("oops", 503) : { headers: {}, body: module.zip },
      );
      const answer = await server.ask(`/${module.base}.zip`);
      expect(answer.status).toBe(200);
      expect(upstream.count(`/${module.base}.zip`)).toBe(2);
    });

    it("redirects are followed, to http and by a relative address, but not in a circle", async ({
      expect,
    }) => {
      const module = makeModule({ path: "redirect.test/m", version: "v1.0.0" });
      upstream.add(module);
      upstream.on("/moved/here.zip", { body: module.zip });
      for (const [index, status] of [301, 302, 303, 307, 308].entries()) {
        const path = `/redirect.test/r${index}/@v/list`;
        upstream.on(path, { status, headers: { Location: `/list${index}` } });
        upstream.on(`/list${index}`, text("v1.0.0\n"));
        expect((await server.ask(path)).text).toBe("v1.0.0\n");
      }
      upstream.on(`/${module.base}.zip`, {
        status: 302,
        headers: { Location: `${upstream.url}/moved/here.zip` },
      });
      expect((await server.ask(`/${module.base}.zip`)).body.equals(module.zip)).toBe(true);
      const circle = "/redirect.test/circle/@v/list";
      upstream.on(circle, { status: 302, headers: { Location: circle } });
      const answer = await server.ask(circle);
      expect(answer.status).toBe(502);
      expect(upstream.count(circle)).toBeLessThanOrEqual(30);
      upstream.on("/redirect.test/file/@v/list", {
        status: 302,
        headers: { Location: "file:///etc/passwd" },
      });
      expect((await server.ask("/redirect.test/file/@v/list")).status).toBe(502);
    });
  });
});

describe.each(STORAGES)("one request line per request with --storage %s", (storage) => {
  it("has the fields of ECS and what the client saw", async ({ expect, onTestFinished }) => {
    const upstream = await FakeUpstream.start(readFixtures());
    const server = await startServer({ storage, upstream: upstream.url });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    await server.ask("/example.com/hello/@v/v1.0.0.mod?secret=1", {
      headers: { "User-Agent": 'a "quoted"\tagent' },
    });
    const refused = await server.ask("/nothing/@v/list");
    const id = /request-id: (\S+)/.exec(refused.text)?.[1];
    await ask(server.url, "/-/healthz");
    // Lines pass through a pipe: they may come after the answer.
    await eventually(() => server.process.stdout.includes(`"${id}"`), 3000);
    const lines = server.process.stdout
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      lines.find((line) => line["url.path"] === "/example.com/hello/@v/v1.0.0.mod"),
    ).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "event.outcome": "success",
      "user_agent.original": 'a "quoted"\tagent',
    });
    expect(lines.find((line) => line["http.request.id"] === id)).toMatchObject({
      "http.response.status_code": 404,
      "event.outcome": "failure",
      "error.code": "malformed_path",
    });
    expect(server.process.stdout).not.toContain("secret");
  });
});

/** Short plain text that the go command shows whole. */
function expectErrorBody(expect: ExpectStatic, { status, headers, text: body }: Answer): void {
  expect(status).toBeGreaterThanOrEqual(400);
  expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(headers["x-content-type-options"]).toBe("nosniff");
  expect(headers["cache-control"]).toMatch(/no-store/);
  expect(Buffer.byteLength(body)).toBeLessThanOrEqual(640);
  const lines = body.replace(/\n$/, "").split("\n");
  expect(lines.length).toBeLessThanOrEqual(8);
  expect(lines.every((line) => line.trim() !== "")).toBe(true);
  expect(lines.at(-1)).toMatch(/^request-id: [\w-]+$/);
}

function sha256Tag(body: Uint8Array): string {
  return `"${createHash("sha256").update(body).digest("hex")}"`;
}
