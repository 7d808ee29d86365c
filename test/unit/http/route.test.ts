import * as fc from "fast-check";
import { describe, it } from "vitest";
import { parseRoute } from "../../../src/http/route.ts";

const BASE = "http://proxy.test";

describe("parseRoute()", () => {
  it.for([
    ["/example.com/m/@v/list", "list", "example.com/m", "", "example.com/m/@v/list"],
    ["/example.com/m/@latest", "latest", "example.com/m", "", "example.com/m/@latest"],
    [
      "/example.com/m/@v/v1.0.0.info",
      "info",
      "example.com/m",
      "v1.0.0",
      "example.com/m/@v/v1.0.0.info",
    ],
    ["/example.com/m/@v/main.info", "query", "example.com/m", "main", "example.com/m/@v/main.info"],
    [
      "/example.com/!m/@v/v1.0.0-!r!c1.mod",
      "mod",
      "example.com/M",
      "v1.0.0-RC1",
      "example.com/!m/@v/v1.0.0-!r!c1.mod",
    ],
    [
      "/example.com/%21m/%40v/v1.0.0.zip",
      "zip",
      "example.com/M",
      "v1.0.0",
      "example.com/!m/@v/v1.0.0.zip",
    ],
    [
      "/example.com/m/@v/v2.0.0%2Bincompatible.zip",
      "zip",
      "example.com/m",
      "v2.0.0+incompatible",
      "example.com/m/@v/v2.0.0+incompatible.zip",
    ],
    [
      "/example.com/m/@v/v2.0.0%2bincompatible.zip?a=/b",
      "zip",
      "example.com/m",
      "v2.0.0+incompatible",
      "example.com/m/@v/v2.0.0+incompatible.zip",
    ],
  ] as const)("%s is a %s of %s", ([path, kind, modulePath, version, normal], { expect }) => {
    expect(parseRoute(BASE + path)).toEqual({
      team: undefined,
      cachedOnly: false,
      target: {
        kind: "module",
        request: expect.objectContaining({ kind, modulePath, version, path: normal }) as unknown,
      },
    });
  });

  it.for([
    ["/t/acme/example.com/m/@v/list", "acme", false],
    ["/t/acme/cached-only/example.com/m/@v/list", "acme", true],
    ["/cached-only/example.com/m/@v/list", undefined, true],
  ] as const)("%s has team %s and cached-only %s", ([path, team, cachedOnly], { expect }) => {
    const route = parseRoute(BASE + path);
    expect({ ...route, target: route.target.kind }).toEqual({ team, cachedOnly, target: "module" });
  });

  it.for([
    ["/", "/"],
    ["", "/"],
    ["/?x", "/"],
    ["/-/healthz", "/-/healthz"],
    ["/-/explain/example.com/m@v1.0.0", "/-/explain/example.com/m@v1.0.0"],
    ["/-", "/-"],
  ] as const)("%s is an address of our own", ([path, own], { expect }) => {
    expect(parseRoute(BASE + path).target).toEqual({ kind: "own", path: own });
  });

  it("keeps what stands behind /sumdb/, slashes in the database's name included", ({ expect }) => {
    expect(parseRoute(`${BASE}/sumdb/localhost.test/sumdb/tile/8/0/000`).target).toEqual({
      kind: "sumdb",
      path: "localhost.test/sumdb/tile/8/0/000",
    });
    expect(parseRoute(`${BASE}/t/acme/cached-only/sumdb/x.test/latest`)).toMatchObject({
      team: "acme",
      cachedOnly: true,
      target: { kind: "sumdb", path: "x.test/latest" },
    });
  });

  it("takes the team of a malformed path, so that rights come first", ({ expect }) => {
    expect(parseRoute(`${BASE}/t/acme/nonsense`)).toMatchObject({
      team: "acme",
      target: { kind: "malformed" },
    });
    expect(parseRoute(`${BASE}/t/acme/foo%2fbar`).team).toBe("acme");
    expect(parseRoute(`${BASE}/t/ACME/foo%2fbar`).team).toBeUndefined();
    expect(parseRoute(`${BASE}/t/acme%`).team).toBeUndefined();
  });

  it.for([
    "/t/ACME/example.com/m/@v/list", "/t//example.com/m/@v/list", "/t/a.b/example.com/m/@v/list",
    `/t/${"a".repeat(64)}/example.com/m/@v/list`, "/t/acme/t/acme/example.com/m/@v/list", "/cached-only/",
    "/cached-only/-/healthz", "/cached-only/cached-only/example.com/m/@v/list", "/example.com/m/@v/v1.0.0%2Einfo",
    "/example.com/m%2f@v/list", "/example.com/m/@v/%76.info", "/example.com/m/@v/v1.0.0+meta.zip", "/example.com/m/@v/",
    "/example.com/m/@v/v2.0.0.mod", "/example.com/M/@v/list", "/example.com/m/@v/latest.info", "/m/@v/list",
  ])("%s is malformed", (path, { expect }) => {
    expect(parseRoute(BASE + path).target.kind).toBe("malformed");
  }); // prettier-ignore

  it.for(["a b", "<img>", "%3Cscript%3E", "a@b", "h?x", "h#x", "a\\b", "é"])(
    "a host %s is malformed, but for addresses of our own",
    (host, { expect }) => {
      const kindOf = (path: string): string => parseRoute(`http://${host}${path}`).target.kind;
      expect(kindOf("/example.com/m/@v/list")).toBe("malformed");
      expect(kindOf("/t/acme/example.com/m/@v/list")).toBe("malformed");
      expect(kindOf("/-/healthz")).toBe("own");
    },
  );

  it.for(["proxy.test", "PROXY.test.", "proxy.test:8787", "[::1]:8787", "127.0.0.1", "x_y-z"])(
    "a host %s is one",
    (host, { expect }) => {
      expect(parseRoute(`http://${host}/example.com/m/@v/list`).target.kind).toBe("module");
    },
  );

  it("never throws, and never lets a character through that storage could trip over", ({
    expect,
  }) => {
    const pieces = fc.constantFrom(
      "a", "A", "!", "!a", "%21", "%2B", "%40", "%2f", "%00", "..", ".", "/", "//", "@v", "@latest", "list",
      "v1.0.0", ".info", ".zip", "é", "\\", " ", "t/", "cached-only/", "sumdb/", "-/", "example.com", "?", "#",
    ); // prettier-ignore
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const { target } = parseRoute(`${BASE}/${parts.join("")}`);
        if (target.kind !== "module") return;
        expect(target.request.path).toMatch(/^[a-z0-9.\-_~!+@/]+$/);
        expect(target.request.path).not.toMatch(/(^|\/)\.{1,2}(\/|$)|\/\//);
      }),
      { seed: 1, numRuns: 5000 },
    );
  });
});
