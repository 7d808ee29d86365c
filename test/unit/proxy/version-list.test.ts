import { describe, it } from "vitest";
import {
  formatVersionList,
  listByPreference,
  parseVersionList,
} from "../../../src/proxy/version-list.ts";

const parse = (path: string, text: string) =>
  parseVersionList(path, new TextEncoder().encode(text));

describe("parseVersionList()", () => {
  it("keeps canonical versions of the right major, once and in order", ({ expect }) => {
    const { versions } = parse(
      "example.com/m",
      "v1.10.0\nv1.9.0\r\n  v1.2.0  \nv1.2.0 2020-01-01T00:00:00Z\nv1\nv2.0.0\nv3.0.0+incompatible\nv1.0.0+x\nword\n\nv0.1.0-alpha.2\n",
    );
    expect(versions).toEqual([
      "v0.1.0-alpha.2",
      "v1.2.0",
      "v1.9.0",
      "v1.10.0",
      "v3.0.0+incompatible",
    ]);
  });

  it("minds the major of the path", ({ expect }) => {
    expect(parse("example.com/m/v2", "v1.0.0\nv2.0.0\nv3.0.0\n").versions).toEqual(["v2.0.0"]);
    expect(parse("gopkg.in/m.v3", "v2.0.0\nv3.1.0\n").versions).toEqual(["v3.1.0"]);
  });

  it("leaves pseudo-versions out but remembers the newest", ({ expect }) => {
    const list = parse(
      "example.com/m",
      "v0.0.0-20200101000000-aaaaaaaaaaaa\nv0.0.0-20220101000000-bbbbbbbbbbbb\nv0.0.0-20210101000000-cccccccccccc\n",
    );
    expect(list).toEqual({
      versions: [],
      newestPseudo: "v0.0.0-20220101000000-bbbbbbbbbbbb",
      isEmpty: false,
    });
  });

  // What the go command's own fallback would choose of the same list.
  const [OLD, NEW] = [
    "v1.2.1-0.20200101000000-aaaaaaaaaaaa",
    "v0.0.0-20220101000000-bbbbbbbbbbbb",
  ] as const;
  const IMPOSSIBLE = "v0.0.0-20240230000000-cccccccccccc";
  it.for([
    ["by the time of the commit, not by the version", `${OLD}\n${NEW}\n`, NEW],
    ["by the time that the line adds", `${OLD} 2023-01-01T00:00:00Z\n${NEW}\n`, OLD],
    ["the first of equals", `${OLD} 2022-01-01T00:00:00Z\n${NEW}\n`, OLD],
    ["none whose added time is none", `${OLD}\n${NEW} yesterday\n`, OLD],
    ["none of an impossible time", `${IMPOSSIBLE}\n${OLD}\n`, OLD],
    ["none at all if no time can be read", `${IMPOSSIBLE}\n${NEW} x\n`, undefined],
    ["only of the right major", `v2.0.0-20230101000000-dddddddddddd\n${OLD}\n`, OLD],
  ] as const)("chooses the newest pseudo-version %s", ([, text, newest], { expect }) => {
    expect(parse("example.com/m", text).newestPseudo).toBe(newest);
  });

  it("takes nothing for nothing, and a page for no list", ({ expect }) => {
    expect(parse("example.com/m", "").isEmpty).toBe(true);
    expect(parse("example.com/m", " \n\n").isEmpty).toBe(true);
    expect(() => parse("example.com/m", "<!doctype html>\n<p>Sign in</p>\n")).toThrow(/no version/);
  });
});

describe("listByPreference()", () => {
  it("has releases, then pre-releases, then the pseudo-version", ({ expect }) => {
    const body = "v1.0.0-rc.2\nv1.9.0\nv1.10.0\nv2.0.0-rc.1\nv2.0.0+incompatible\n";
    const newestPseudo = "v3.0.1-0.20240102030405-abcdefabcdef";
    expect(listByPreference({ body, newestPseudo })).toEqual([
      "v2.0.0+incompatible",
      "v1.10.0",
      "v1.9.0",
      "v2.0.0-rc.1",
      "v1.0.0-rc.2",
      newestPseudo,
    ]);
    expect(listByPreference({ body: "" })).toEqual([]);
  });
});

describe("formatVersionList()", () => {
  it("ends every line", ({ expect }) => {
    expect(formatVersionList([])).toBe("");
    expect(formatVersionList(["v1.0.0", "v1.1.0"])).toBe("v1.0.0\nv1.1.0\n");
  });
});
