import { describe, it } from "vitest";
import { defaultUpstreams, parseUpstreamList } from "../../../scripts/upstreams.ts";

describe("parseUpstreamList()", () => {
  it.for<[string, string[]]>([
    ["https://a.example,direct", ["https://a.example"]],
    ["https://a.example|https://b.example/go/", ["https://a.example", "https://b.example/go"]],
    [" https://a.example , off ", ["https://a.example"]],
    ["direct", []],
    ["", []],
  ])("reads %j", ([list, expected], { expect }) => {
    expect(parseUpstreamList(list)).toEqual(expected);
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

  it("has two addresses of its own when the machine names none", ({ expect }) => {
    expect(defaultUpstreams("", () => "off")).toHaveLength(2);
  });
});
