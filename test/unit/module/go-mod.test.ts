import { describe, it } from "vitest";

import { parseGoMod, syntheticGoMod } from "../../../src/module/go-mod.ts";

describe("parseGoMod()", () => {
  it("reads path, Go version, deprecation and retractions", ({ expect }) => {
    const text = `// Deprecated: use example.com/m/v2
// instead.
module example.com/m // the old one

go 1.24.1

require (
	golang.org/x/text v0.3.0 // indirect
)

retract v1.0.1 // published by accident

// Broken on Windows.
retract (
	v1.1.0
	[v1.2.0, v1.2.5] // lost data
)
`;
    expect(parseGoMod(text)).toEqual({
      modulePath: "example.com/m",
      goVersion: "1.24.1",
      deprecated: "use example.com/m/v2\ninstead.\nthe old one",
      retract: [
        { low: "v1.0.1", high: "v1.0.1", rationale: "published by accident" },
        { low: "v1.1.0", high: "v1.1.0", rationale: "Broken on Windows." },
        { low: "v1.2.0", high: "v1.2.5", rationale: "lost data" },
      ],
    });
  });

  it("does not take a comment behind a blank line for a deprecation", ({ expect }) => {
    const parsed = parseGoMod("// Deprecated: no\n\nmodule x.y/z\n");
    expect(parsed).toEqual({ modulePath: "x.y/z", retract: [] });
  });

  it.for([
    ['module "x.y/z"\n', "x.y/z"],
    ["module `x.y/z`\n", "x.y/z"],
    ["module x.y/z", "x.y/z"],
    ["module x.y/z\r\n\r\ngo 1.20\r\n", "x.y/z"],
    ["module (\n\tx.y/z\n)\n", "x.y/z"],
    ['module "x.y/\\x7a\\u007a\\172"\n', "x.y/zzz"],
    ["//\nmodule x.y/z//tail\n", "x.y/z"],
  ] as const)("reads the path of %j", ([text, modulePath], { expect }) => {
    expect(parseGoMod(text)).toMatchObject({ modulePath });
  });

  it("passes over directives of a main module and of the future", ({ expect }) => {
    const text = `module x.y/z
replace a => ../b
exclude (
	a.b/c v1.0.0
)
toolchain go1.99.0
future {x, y} [z]
future block (
	anything at all
)
tool x/y
`;
    expect(parseGoMod(text)).toEqual({ modulePath: "x.y/z", retract: [] });
  });

  it.for([
    ["", "no module line"],
    ["go 1.20\n", "no module line"],
    ["module\n", "malformed module line"],
    ["module a b\n", "malformed module line"],
    ['module ""\n', "malformed module line"],
    ["module a'b\n", "malformed module line"],
    ["module x.y/z\nmodule x.y/z\n", "more than one module line"],
    ["module x.y/z\nrequire (\n\ta.b/c v1.0.0\n", "file ends inside a block"],
    ['module x.y/z\nrequire "a.b', "line 2: file ends inside a string"],
    ['module "x\ny"\n', "line 1: line ends inside a string"],
    ["module x.y/z\nrequire (\n) x\n", "text after a closing parenthesis"],
    ["module x.y/z\n/* c */\n", "line 2: comments must use //"],
    ["\ufeffmodule x.y/z\n", "line 1: unexpected character"],
    ["module x.y/z\n\0\n", "line 2: unexpected character"],
  ] as const)("refuses %j: %s", ([text, problem], { expect }) => {
    expect(parseGoMod(text)).toEqual({ problem });
  });

  it.for([
    "go 1",
    "go 1.20 1.21",
    "go 1.20\ngo 1.21",
    "require a.b/c",
    "require a.b/c master",
    "require a.b/c v2.0.0",
    "ignore",
  ])(
    "keeps the module but no Go version when the go command would refuse %j",
    (line, { expect }) => {
      const parsed = parseGoMod(`module x.y/z\ngo 1.22\n${line}\n`);
      expect(parsed).toMatchObject({ modulePath: "x.y/z", directiveProblem: expect.any(String) });
      expect(parsed).not.toHaveProperty("goVersion");
    },
  );

  it("corrects Go versions as the go command does for dependencies", ({ expect }) => {
    expect(parseGoMod("module x.y/z\ngo v1.20x\n")).toMatchObject({ goVersion: "1.20" });
    expect(parseGoMod("module x.y/z\ngo 1.21rc2\n")).toMatchObject({ goVersion: "1.21rc2" });
  });

  it("passes over a retraction that it cannot read", ({ expect }) => {
    const text = "module x.y/z\nretract [v1.0.0, v1.1.0\nretract (\n\tv1.2.0\n)\n";
    expect(parseGoMod(text)).toMatchObject({ retract: [{ low: "v1.2.0", high: "v1.2.0" }] });
  });

  it("takes time in proportion to the text", ({ expect }) => {
    const started = process.cpuUsage();
    parseGoMod(`module x.y/z\nrequire (\n${"\ta.b/c v1.0.0 // indirect\n".repeat(50_000)})\n`);
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
  });
});

describe("syntheticGoMod()", () => {
  it("quotes only where the syntax demands it", ({ expect }) => {
    expect(syntheticGoMod("example.com/m/v2")).toBe("module example.com/m/v2\n");
    expect(syntheticGoMod("example.com/a b")).toBe('module "example.com/a b"\n');
    expect(syntheticGoMod("example.com//a")).toBe('module "example.com//a"\n');
    expect(syntheticGoMod('x"y\n')).toBe('module "x\\"y\\n"\n');
  });
});
