import { describe, it } from "vitest";
import { deployedAddress } from "../../../scripts/deployed-address.ts";

function outputWith(...targets: readonly string[]): string {
  const lines = [{ type: "wrangler-session" }, { type: "deploy", targets }];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

describe("deployedAddress()", () => {
  it.for<[string, string[], string | undefined]>([
    [
      "a workers.dev address",
      ["https://a.b.workers.dev", "schedule: */10 * * * *"],
      "https://a.b.workers.dev",
    ],
    [
      "a custom domain",
      ["*.example.com/* (zone name: example.com)", "go.example.com (custom domain)"],
      "https://go.example.com",
    ],
    ["nothing among wildcards", ["*.example.com/* (zone name: example.com)"], undefined],
    ["nothing without targets", [], undefined],
  ])("finds %s", ([, targets, expected], { expect }) => {
    expect(deployedAddress(outputWith(...targets))).toBe(expected);
  });

  it("finds nothing in an empty output", ({ expect }) => {
    expect(deployedAddress("")).toBeUndefined();
  });
});
