import { describe, it } from "vitest";
import { defaultUpstreams, parseUpstreamList } from "../../../scripts/upstreams.ts";

describe("parseUpstreamList()", () => {
  it.for<[string, string[]]>([
    ["https://a.example,direct", ["https://a.example"]],
    ["https://a.example|https://b.example/go/", ["https://a.example", "https://b.example/go"]],
    [" https://a.example , off ", ["https://a.example"]],
    ["goproxy.example,direct", ["https://goproxy.example"]],
    [
      "goproxy.example:8080/go|localhost:8787",
      ["https://goproxy.example:8080/go", "https://localhost:8787"],
    ],
    ["direct", []],
    ["", []],
  ])("reads %j", ([list, expected], { expect }) => {
    expect(parseUpstreamList(list)).toEqual(expected);
  });

  // Guarantee: what is refused may hold a credential, so no part of it is shown.
  it.for<[string, string]>([
    ["file:///srv/hunter2", "entry 1 must be an http or https URL"],
    ["https://a.example,/srv/hunter2", "entry 2 must be an http or https URL"],
    ["direct,https://user:hunter2@a.example", "entry 2 must not hold a credential"],
    ["user:hunter2@a.example", "entry 1 must not hold a credential"],
    ["https://a.example/?token=hunter2", "entry 1 must not hold a query or a fragment"],
    ["https://user:hunter2@[", "entry 1 must be an http or https URL"],
    ["hunter2", "entry 1 must be an http or https URL"],
    ["not a hunter2", "entry 1 must be an http or https URL"],
  ])("refuses %j, naming where it came from", ([list, problem], { expect }) => {
    const parse = (): string[] => parseUpstreamList(list, "--upstream");
    expect(parse).toThrow(`--upstream: ${problem}`);
    expect(parse).not.toThrow(/hunter2/);
  });
});

describe("defaultUpstreams()", () => {
  it("prefers UPSTREAM and does not ask the go command then", ({ expect }) => {
    const goProxy = (): string => {
      throw new Error("asked");
    };

    expect(defaultUpstreams("https://a.example", goProxy)).toEqual(["https://a.example"]);
  });

  it("takes the machine's GOPROXY without its keywords", ({ expect }) => {
    const urls = defaultUpstreams(undefined, () => "https://b.example,direct");

    expect(urls).toEqual(["https://b.example"]);
  });

  it("names the list of a bad entry", ({ expect }) => {
    expect(() => defaultUpstreams("ftp://a.example")).toThrow(/^UPSTREAM: entry 1 /);
    expect(() => defaultUpstreams("", () => "file:///x")).toThrow(/^go env GOPROXY: entry 1 /);
  });

  it("has two addresses of its own when the machine names none", ({ expect }) => {
    expect(defaultUpstreams("", () => "off")).toHaveLength(2);
  });
});
