import * as fc from "fast-check";
import { describe, it } from "vitest";

import {
  escapePath,
  findFilePathProblem,
  findImportPathProblem,
  findModulePathProblem,
  findModuleVersionProblem,
  matchPathMajor,
  splitPathVersion,
  tryEscapeVersion,
  tryParseModulePath,
  tryUnescapePath,
  tryUnescapeVersion,
} from "../../../src/module/path.ts";

const OK = "ok";
const ERR = "error";

// Rows of golang.org/x/mod's module_test.go: good as module path, import path, file path.
const PATHS: readonly (readonly [string, string, string, string])[] = [
  ["x.y/z", OK, OK, OK],
  ["", ERR, ERR, ERR],
  ["x.y/\ufffdz", ERR, ERR, ERR],
  ["x.y/\udcffz", ERR, ERR, ERR],
  ["/x.y/z", ERR, ERR, ERR],
  ["x./z", ERR, ERR, ERR],
  [".x/z", ERR, OK, OK],
  ["-x/z", ERR, ERR, OK],
  ["x..y/z", OK, OK, OK],
  ["x.y/z/../../w", ERR, ERR, ERR],
  ["x.y//z", ERR, ERR, ERR],
  ["x.y/z/", ERR, ERR, ERR],
  ...["v0", "v1", "v2.0"].map((v) => [`x.y/z/${v}`, ERR, OK, OK] as const),
  ["x.y/z/v2", OK, OK, OK],
  ...["X.y/z", "_x.y/z", "x.y~/z", "x.y_/z"].map((path) => [path, ERR, OK, OK] as const),
  ...["x.y+/z", "x.y/z++"].map((path) => [path, ERR, OK, OK] as const),
  ...["x.y@/z", "x.y/z!", "x.y/z#", "x.y/z%", "x.y/z,", "x.y/z="].map(
    (path) => [path, ERR, ERR, OK] as const,
  ),
  ...["x.y:/z", "x.y/z*", "x.y/z?", "x.y/z'", "x.y/z;", "x.y/z<", "x.y\\/z", "x.y/z\0"].map(
    (path) => [path, ERR, ERR, ERR] as const,
  ),
  ...["x.y/z_", "x.y/z~", "x.y/z.t", "x.y/prn2", "x.y/com", "x.y/calm1", "x.y/com0"].map(
    (path) => [path, OK, OK, OK] as const,
  ),
  ...["x.y/aux.foo", "x.y/prn", "x.y/com1", "x.y/com1.txt", "x.y/LPT9", "x.y/NuL.b"].map(
    (path) => [path, ERR, ERR, ERR] as const,
  ),
  ...["x.y/z~0", "x.y/z09~09z~09"].map((path) => [path, ERR, ERR, OK] as const),
  ...["x.y/z09~", "x.y/z09~09z"].map((path) => [path, OK, OK, OK] as const),
  ["github.com/user/unicode/испытание", ERR, ERR, OK],
  ["\u{1d49c}.go", ERR, ERR, OK],
  ...[".gitignore", ".github/ISSUE_TEMPLATE"].map((path) => [path, ERR, OK, OK] as const),
  ["x☺y", ERR, ERR, ERR],
  ["x.y/٣", ERR, ERR, ERR],
];

describe("path checks", () => {
  it.for(PATHS)("know %j as module %s, import %s, file %s", ([path, ...wanted], { expect }) => {
    const problems = [
      findModulePathProblem(path),
      findImportPathProblem(path),
      findFilePathProblem(path),
    ];
    expect(problems.map((problem) => (problem === undefined ? OK : ERR))).toEqual(wanted);
  });

  it("refuse a host without a dot", ({ expect }) => {
    expect(findModulePathProblem("localhost/m")).toBe("missing dot in first path element");
  });
});

describe("findModuleVersionProblem()", () => {
  it.for([
    ["rsc.io/quote", "0.1.0", ERR],
    ["github.com/go-yaml/yaml", "v1.0.0", OK],
    ["github.com/go-yaml/yaml", "v2.0.0", ERR],
    ["github.com/go-yaml/yaml/v2", "v1.0.0", ERR],
    ["github.com/go-yaml/yaml/v2", "v2.1.5", OK],
    ["github.com/go-yaml/yaml/v2", "v3.0.0", ERR],
    ["gopkg.in/yaml.v0", "v0.8.0", OK],
    ["gopkg.in/yaml.v0", "v1.0.0", ERR],
    ["gopkg.in/yaml.v1", "v0.8.0", ERR],
    ["gopkg.in/yaml.v1", "v1.0.0", OK],
    ["gopkg.in/check.v1", "v0.0.0", ERR],
    ["gopkg.in/check.v1", "v0.0.0-20160102150405-abcdef123456", OK],
    ["rsc.io/quote", "v17.0.0", ERR],
    ["rsc.io/quote", "v17.0.0+incompatible", OK],
  ] as const)("knows %s at %s: %s", ([path, version, wanted], { expect }) => {
    const problem = findModuleVersionProblem(path, version);
    expect(problem === undefined ? OK : ERR).toBe(wanted);
  });

  it("says which major belongs to the path", ({ expect }) => {
    expect(findModuleVersionProblem("x.y/z/v2", "v3.0.0")).toBe("version should be v2, not v3");
    expect(findModuleVersionProblem("x.y/z", "v3.0.0")).toBe("version should be v0 or v1, not v3");
  });

  it("lets the unstable suffix of gopkg.in count as its number", ({ expect }) => {
    expect(matchPathMajor("v1.0.0", ".v1-unstable")).toBe(true);
  });
});

describe("splitPathVersion()", () => {
  it.for([
    ["x.y/z/v2", "x.y/z", "/v2"],
    ["x.y/z", "x.y/z", ""],
    ["x.y/v", "x.y/v", ""],
    ["x.y/zv2", "x.y/zv2", ""],
    ["gopkg.in/yaml.v2", "gopkg.in/yaml", ".v2"],
    ["gopkg.in/yaml.v0", "gopkg.in/yaml", ".v0"],
    ["gopkg.in/yaml.v2-unstable", "gopkg.in/yaml", ".v2-unstable"],
  ] as const)("splits %s", ([path, prefix, pathMajor], { expect }) => {
    expect(splitPathVersion(path)).toEqual({ prefix, pathMajor });
  });

  it.for([
    "gopkg.in/yaml.v2/abc",
    "gopkg.in/yaml",
    "gopkg.in/yaml.v02",
    "x.y/v0",
    "x.y/v1",
    "x.y/v02",
  ])("refuses %s", (path, { expect }) => {
    expect(splitPathVersion(path)).toBeUndefined();
  });
});

describe("path escapes", () => {
  it.for([
    ["github.com/GoogleCloudPlatform/omega", "github.com/!google!cloud!platform/omega"],
    ["github.com/Azure/azure-sdk-for-go", "github.com/!azure/azure-sdk-for-go"],
    ["gopkg.in/Foo.v1-unstable", "gopkg.in/!foo.v1-unstable"],
    ["golang.org/x/text", "golang.org/x/text"],
  ] as const)("write %s as %s and read it back", ([path, escaped], { expect }) => {
    const modulePath = tryParseModulePath(path);
    expect(modulePath === undefined ? undefined : escapePath(modulePath)).toBe(escaped);
    expect(tryUnescapePath(escaped)).toBe(path);
  });

  it.for([
    "github.com/GoogleCloudPlatform/omega",
    "github.com/!google!cloud!platform!/omega",
    "github.com/!0google!cloud!platform/omega",
    "github.com/!_google!cloud!platform/omega",
    "github.com/!!google!cloud!platform/omega",
    "!github.com/omega",
    "github.com/omega!",
    "github.com/é",
    "",
  ])("refuse %j", (escaped, { expect }) => {
    expect(tryUnescapePath(escaped)).toBeUndefined();
  });

  it("are undone by unescaping, for every module path", ({ expect }) => {
    const element = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,8}$/);
    const paths = fc.array(element, { maxLength: 4 }).map((rest) => ["x.y", ...rest].join("/"));
    fc.assert(
      fc.property(paths, (path) => {
        const modulePath = tryParseModulePath(path);
        if (modulePath === undefined) return;
        const escaped = escapePath(modulePath);
        expect(escaped).not.toMatch(/[A-Z]/);
        expect(tryUnescapePath(escaped)).toBe(path);
      }),
    );
  });

  it("have one spelling: what unescapes, escapes back to itself", ({ expect }) => {
    fc.assert(
      fc.property(fc.stringMatching(/^x\.y\/[a-zA-Z!/.]{0,10}$/), (escaped) => {
        const path = tryUnescapePath(escaped);
        expect(path === undefined ? escaped : escapePath(path)).toBe(escaped);
      }),
    );
  });
});

describe("version escapes", () => {
  it.for([
    ["v1.0.0-RC1", "v1.0.0-!r!c1"],
    ["HEAD~1", "!h!e!a!d~1"],
    ...["a b", ".a", "-x", "x~1", "a@b", "a#b", "a%b", "v1.2.3+incompatible"].map(
      (version) => [version, version] as const,
    ),
  ] as const)("write %s as %s and read it back", ([version, escaped], { expect }) => {
    expect(tryEscapeVersion(version)).toBe(escaped);
    expect(tryUnescapeVersion(escaped)).toBe(version);
  });

  it.for(["feature/x", "a!b", "con", "aux.1", "x:y", "..", "a.", "é", "", "\ud800"])(
    "refuse to write %j",
    (version, { expect }) => {
      expect(tryEscapeVersion(version)).toBeUndefined();
    },
  );

  it.for(["!", "A", "a!", "!A", "v1!!x", "", "a/b", "é"])(
    "refuse to read %j",
    (escaped, { expect }) => {
      expect(tryUnescapeVersion(escaped)).toBeUndefined();
    },
  );
});
