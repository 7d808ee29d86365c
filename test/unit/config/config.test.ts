import { describe, it } from "vitest";
import { parseConfig } from "../../../src/config/config.ts";
import { ProxyError } from "../../../src/errors/proxy-error.ts";

function problemOf(text: string): string {
  try {
    parseConfig(text, "goproxy-edge.yaml");
  } catch (error) {
    if (error instanceof ProxyError && error.code === "invalid_config") return error.publicDetail;
    throw error;
  }
  return "no problem";
}

describe("parseConfig()", () => {
  it("fills in every default of an empty document", ({ expect }) => {
    const config = parseConfig("", "empty");
    expect(config.upstreams.length).toBeGreaterThan(0);
    expect(config).toMatchObject({
      noSum: [],
      sumdb: { name: "sum.golang.org" },
      cache: { memorySeconds: 86_400, edgeSeconds: 604_800, listSeconds: 60, negativeSeconds: 60 },
    });
    expect(config.upstreams[0]).toMatchObject({ notFound: [404, 410], credential: undefined });
  });

  it("reads YAML and JSON alike", ({ expect }) => {
    const yaml =
      "upstreams:\n  - name: main\n    url: https://up.test/base/\n    credential: UP\ncache: {list: 5s}\nsumdb: off\n";
    const json = `{"upstreams":[{"name":"main","url":"https://up.test/base/","credential":"UP"}],"cache":{"list":"5s"},"sumdb":"off"}`;
    expect(parseConfig(yaml, "a")).toEqual(parseConfig(json, "b"));
    expect(parseConfig(yaml, "a").upstreams).toEqual([
      { name: "main", url: "https://up.test/base", credential: "UP", notFound: [404, 410] },
    ]);
  });

  it.for([
    ["1s", 1],
    ["90s", 90],
    ["10m", 600],
    ["24h", 86_400],
    ["7d", 604_800],
  ] as const)("reads the time %s", ([text, seconds], { expect }) => {
    expect(parseConfig(`cache: {list: ${text}}`, "f").cache.listSeconds).toBe(seconds);
  });

  it.for([
    ["colour: red\n", 1, "colour: unknown key"],
    ["sumdb: off\n\ncolour: red\n", 3, "colour: unknown key"],
    ["upstreams: []\n", 1, "upstreams: "],
    ["upstreams:\n  - name: a\n", 2, "upstreams[0].url: "],
    ["upstreams:\n  - url: ftp://x.test\n", 2, "upstreams[0].url: must be an http or https URL"],
    [
      "upstreams:\n  - url: https://u:p@x.test\n",
      2,
      "upstreams[0].url: must not hold a credential",
    ],
    ["upstreams:\n  - url: https://x.test?token=1\n", 2, "upstreams[0].url: must not hold a query"],
    ["upstreams:\n  - url: https://x.test\n    name: Main Proxy\n", 3, "upstreams[0].name: "],
    ["upstreams:\n  - url: https://x.test\n    notFound: 404\n", 3, "upstreams[0].notFound: "],
    [
      "upstreams:\n  - url: https://x.test\n    notFound: [404, 500]\n",
      3,
      "upstreams[0].notFound[1]: ",
    ],
    [
      "upstreams:\n  - url: https://x.test\n    credential: not a name\n",
      3,
      "upstreams[0].credential: ",
    ],
    ["cache:\n  list: 0s\n", 2, "cache.list: "],
    ["cache:\n  list: 1.5h\n", 2, "cache.list: "],
    ["cache:\n  list: 60\n", 2, "cache.list: "],
    ["cache:\n  disk: 1h\n", 2, "cache.disk: unknown key"],
    ["cache: []\n", 1, "cache: "],
    ["sumdb: maybe\n", 1, "sumdb: "],
    ["sumdb:\n  name: x.test\n", 2, "sumdb"],
    [
      "sumdb:\n  name: x.test\n  key: k\n  url: http://sum.test\n",
      4,
      "sumdb.url: must be an https URL",
    ],
    [
      "sumdb:\n  name: x.test\n  key: k\n  url: http://127.evil.test\n",
      4,
      "sumdb.url: must be an https URL",
    ],
    [
      "upstreams:\n  - {name: a, url: https://x.test}\n  - name: a\n    url: https://y.test\n",
      3,
      "upstreams[1].name: upstream a is already in upstreams[0].name",
    ],
    [
      "upstreams:\n  - {name: upstream-2, url: https://x.test}\n  - url: https://y.test\n",
      3,
      "upstreams[1].name: upstream upstream-2 is already",
    ],
    [
      "teams:\n  - name: acme\n    private:\n      - pattern: x.test/*\n        source: nobody\n",
      5,
      "teams[0].private[0].source: no upstream is named nobody",
    ],
    [
      "teams:\n  - name: acme\n  - name: acme\n",
      3,
      "teams[1].name: team acme is already in teams[0].name",
    ],
    [
      "teams:\n  - name: acme\n    hosts: [a.test]\n  - name: beta\n    hosts:\n      - b.test\n      - A.test\n",
      7,
      "teams[1].hosts[1]: host a.test is already in teams[0].hosts[0]",
    ],
    ["noSum:\n  - x.test\n  - X.test/*\n", 3, 'noSum[1]: "X.test/*": a host is written in lower'],
    ["noSum: ['x.test,*.Test/a']\n", 1, 'noSum[0]: "*.Test/a": a host is written in lower case'],
    [
      "teams:\n  - name: a\n    private:\n      - {pattern: Git.x.test/*, source: a}\n",
      4,
      "teams[0].private[0].pattern: ",
    ],
    ["access: closed\n", 1, "access: "],
    ["balance: random\n", 1, "balance: "],
    ["just a text\n", 1, "document: "],
    ["- a\n- b\n", 1, ": "],
  ] as const)("%j is refused at line %i", ([text, line, what], { expect }) => {
    expect(problemOf(text)).toMatch(new RegExp(`^goproxy-edge\\.yaml:${line}: `));
    expect(problemOf(text)).toContain(what);
  });

  it("takes capitals behind the host of a pattern: module paths may have them", ({ expect }) => {
    const patterns = ["x.test/Acme/*", "*/Acme", "x.test/[A-Z]*"];
    expect(parseConfig(JSON.stringify({ noSum: patterns }), "f").noSum).toEqual(patterns);
  });

  it.for([
    "a: [\n",
    "a: b: c\n",
    "\tx: 1\n",
    "a: 1\na: 2\n",
    "a: *nothing\n",
    "%YAML 9\n---\na: &x [*x]\n",
  ])("%j does not parse, and the line is named", (text, { expect }) => {
    expect(problemOf(text)).toMatch(/^goproxy-edge\.yaml:\d+: .+/);
  });

  it.for(["http://127.1.2.3:8080", "http://[::1]/x", "http://localhost:1", "https://sum.test"])(
    "takes %s as the address of a database",
    (url, { expect }) => {
      expect(
        parseConfig(JSON.stringify({ sumdb: { name: "x", key: "k", url } }), "f").sumdb?.url,
      ).toBe(url);
    },
  );

  it("does not blow up on aliases within aliases", ({ expect }) => {
    let text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (let level = 1; level < 10; level++) {
      text += `a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ")}]\n`;
    }
    expect(problemOf(text)).not.toBe("no problem");
  });
});
