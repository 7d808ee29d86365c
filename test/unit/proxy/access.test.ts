import * as fc from "fast-check";
import { describe, it } from "vitest";
import { type Config, parseConfig } from "../../../src/config/config.ts";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { matchPrefixPatterns } from "../../../src/module/pattern.ts";
import { Access, type Caller, toScope } from "../../../src/proxy/access.ts";
import { PUBLIC_SCOPE, type Scope } from "../../../src/proxy/ports.ts";

const SECRETS: Readonly<Record<string, string>> = {
  READER: "reader-token",
  AUDITOR: "auditor-token",
  BETA: "beta-token",
};
const ACME = "team/acme" as Scope;

function makeConfig(patterns: readonly string[] = ["git.acme.test/*"], more: object = {}): Config {
  const document = {
    upstreams: [{ name: "git", url: "http://127.0.0.1:9" }],
    teams: [
      {
        name: "acme",
        hosts: ["Acme.go.test"],
        private: patterns.map((pattern) => ({ pattern, source: "git" })),
        tokens: [
          { name: "reader", role: "reader", secret: "READER" },
          { name: "auditor", role: "auditor", secret: "AUDITOR" },
        ],
        ...more,
      },
      {
        name: "beta",
        private: [{ pattern: "git.beta.test/x", source: "git", credential: "BETA" }],
        tokens: [{ name: "reader", role: "reader", secret: "BETA" }],
      },
      { name: "opened", access: "open" },
    ],
  };
  return parseConfig(JSON.stringify(document), "test");
}

const makeAccess = (patterns?: readonly string[]): Access =>
  new Access(makeConfig(patterns), (name) => SECRETS[name] ?? "");

function teamOf(access: Access, name: string) {
  const team = access.teamAt(name, "http://x.test/");
  if (team === undefined || team === "unknown") throw new TypeError(`no team ${name}`);
  return team;
}

const callerOf = (access: Access, name: string): Caller => ({
  team: teamOf(access, name),
  role: "reader",
});
const OPEN: Caller = { team: undefined, role: undefined };

function codeOf(action: () => unknown): string {
  try {
    action();
    return "none";
  } catch (error) {
    return error instanceof ProxyError ? `${error.code}: ${error.publicDetail}` : String(error);
  }
}

describe("Access.teamAt()", () => {
  it.for([
    [undefined, "http://open.test/", undefined],
    [undefined, "http://acme.go.test/", "acme"],
    [undefined, "http://ACME.GO.TEST/", "acme"],
    [undefined, "http://acme.go.test:8787/", "acme"],
    [undefined, "http://acme.go.test:/", "acme"],
    [undefined, "http://acme.go.test.:/x", "acme"],
    [undefined, "http://acme.go.test:abc/", undefined],
    [undefined, "http://acme.go.test:80:/", undefined],
    [undefined, "http://acme.go.test::/", undefined],
    [undefined, "http://acme.go.test?/", undefined],
    [undefined, "http://acme.go.test?x=/", undefined],
    [undefined, "http://acme.go.test#/", undefined],
    [undefined, "http://x@acme.go.test/", undefined],
    [undefined, "http://:8787/", undefined],
    [undefined, "http://acme.go.test./", "acme"],
    [undefined, "http://acme.go.test.:8787/x", "acme"],
    [undefined, "https://acme.go.test", "acme"],
    [undefined, "http://x.acme.go.test/", undefined],
    [undefined, "http://acme.go.test../", undefined],
    [undefined, "http://acme.go.test.evil.test/", undefined],
    [undefined, "http://[::1]:8787/", undefined],
    ["acme", "http://open.test/", "acme"],
    ["acme", "http://acme.go.test/", "acme"],
    ["beta", "http://acme.go.test/", "unknown"],
    ["beta", "http://acme.go.test:/", "unknown"],
    ["nobody", "http://acme.go.test/", "unknown"],
    ["nobody", "http://open.test/", "unknown"],
    ["acme.go.test", "http://open.test/", "unknown"],
    ["constructor", "http://open.test/", "unknown"],
  ] as const)("%s at %s is %s", ([label, url, expected], { expect }) => {
    const team = makeAccess().teamAt(label, url);
    expect(typeof team === "object" ? team.name : team).toBe(expected);
  });
});

describe("Access.enter()", () => {
  const access = makeAccess();
  const acme = teamOf(access, "acme");

  it("says one and the same of a team that is and one that is not", ({ expect }) => {
    for (const header of [null, "Bearer wrong", "Bearer beta-token", "nonsense", "Bearer a,b"]) {
      const known = codeOf(() => access.enter(acme, header));
      expect(known).toBe(codeOf(() => access.enter("unknown", header)));
      expect(known).toMatch(/^credentials_(missing|invalid): /);
    }
  });

  it("knows the role of a good token, and lets no auditor read", ({ expect }) => {
    expect(access.enter(acme, "Bearer reader-token")).toMatchObject({ role: "reader" });
    expect(codeOf(() => access.enter(acme, "Bearer auditor-token"))).toMatch(/^role_missing/);
    expect(codeOf(() => access.enter("unknown", "Bearer reader-token"))).toMatch(/^credentials_/);
  });

  it("lets everybody into an open team, whatever he shows", ({ expect }) => {
    const opened = teamOf(access, "opened");
    for (const header of [null, "nonsense", "Bearer reader-token"]) {
      expect(access.enter(opened, header)).toMatchObject({ role: "reader" });
    }
  });
});

describe("Access and private patterns", () => {
  it.for([
    ["git.acme.test/repo", "theirs"],
    ["git.acme.test/repo/v2", "theirs"],
    ["git.acme.test/repo.git", "theirs"],
    ["git.acme.test", "prefix"],
    ["git.acme.testing/repo", "public"],
    ["xgit.acme.test/repo", "public"],
    ["git.beta.test/x", "beta"],
    ["git.beta.test/x/y", "beta"],
    ["git.beta.test/xy", "public"],
    ["git.beta.test", "prefix"],
    ["git.beta.test/X", "public"],
    ["public.test/git.acme.test/repo", "public"],
  ] as const)("%s is %s", ([path, kind], { expect }) => {
    const access = makeAccess();
    const hidden = { hidden: true };
    const open = { scope: PUBLIC_SCOPE };
    const ofAcme = access.homeOf(callerOf(access, "acme"), path);
    const ofOpen = access.homeOf(OPEN, path);
    expect(ofOpen).toEqual(kind === "public" ? open : hidden);
    expect(access.isPrivate(path)).toBe(kind !== "public");
    const expected = { theirs: { scope: ACME }, prefix: hidden, public: open, beta: hidden };
    expect(ofAcme).toEqual(expected[kind]);
  });

  it.for([
    ["git.acme.test/a/b/*", ["git.acme.test", "git.acme.test/a", "git.acme.test/a/b"]],
    ["git.acme.test/a/b", ["git.acme.test", "git.acme.test/a"]],
    ["git.acme.test", []],
    ["*.acme.test/x", []],
    ["git.acme.test/*/x", ["git.acme.test"]],
    ["git.acme.test/a?/x", ["git.acme.test"]],
    ["git.acme.test/[ab]/x", ["git.acme.test"]],
    ["git.acme.test/a\\*/x", ["git.acme.test"]],
    ["one.test/a,two.test/b/c", ["one.test", "two.test", "two.test/b"]],
    ["git.acme.test/a/", ["git.acme.test"]],
  ] as const)("hides what stands above %s", ([pattern, prefixes], { expect }) => {
    const access = makeAccess([pattern]);
    const candidates = pattern
      .split(",")
      .flatMap((glob) => glob.split("/").map((_, at, parts) => parts.slice(0, at).join("/")));
    const hidden = [...new Set(candidates)].filter(
      (path) => path !== "" && !path.includes("*") && access.isPrivate(path),
    );
    const above = hidden.filter((path) => !matchPrefixPatterns(pattern, path));
    expect(above).toEqual(prefixes);
  });

  it("agrees with MatchPrefixPatterns about every module path below a pattern", ({ expect }) => {
    const element = fc.constantFrom("git", "acme", "test", "a", "b", "A", "team1", "v2");
    const path = fc.array(element, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
    const glob = fc.constantFrom("git/*", "git/a", "*/acme", "git/team?", "git/[ab]/v2", "a,b/*");
    const property = fc.property(glob, path, (pattern, modulePath) => {
      const access = makeAccess([pattern]);
      const home = access.homeOf(callerOf(access, "acme"), modulePath);
      const isTheirs = "scope" in home && home.scope === ACME;
      expect(isTheirs).toBe(matchPrefixPatterns(pattern, modulePath));
      if (isTheirs) expect(access.isPrivate(modulePath)).toBe(true);
    });
    fc.assert(property, { numRuns: 500 });
  });

  it("names the one source of a private module, and none for a public one", ({ expect }) => {
    const access = makeAccess();
    expect(access.sourceOf(ACME, "git.acme.test/m")).toMatchObject({ source: "git" });
    expect(access.sourceOf(ACME, "git.beta.test/x")).toBeUndefined();
    expect(access.sourceOf(PUBLIC_SCOPE, "git.acme.test/m")).toBeUndefined();
    expect(access.sourceOf("team/beta" as Scope, "git.beta.test/x")?.credential).toBe("BETA");
    expect(toScope(teamOf(access, "acme"))).toBe(ACME);
  });
});

describe("new Access()", () => {
  it("refuses two tokens of one value, naming both and showing neither", ({ expect }) => {
    const said = codeOf(() => new Access(makeConfig(), () => "same-value"));
    expect(said).toMatch(/^invalid_config: /);
    expect(said).toMatch(/reader.*auditor/);
    expect(said).not.toContain("same-value");
  });

  it("passes on that a secret is missing", ({ expect }) => {
    const missing = (name: string): string => {
      throw new ProxyError("unavailable", `the Worker secret ${name} is missing or empty`);
    };
    expect(codeOf(() => new Access(makeConfig(), missing))).toMatch(/^unavailable: .*READER/);
  });
});
