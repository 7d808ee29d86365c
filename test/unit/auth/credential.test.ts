import * as fc from "fast-check";
import { describe, it } from "vitest";
import { parseCredential } from "../../../src/auth/credential.ts";

const basic = (pair: string, scheme = "Basic"): string =>
  `${scheme} ${Buffer.from(pair).toString("base64")}`;
const MAX = 8 * 1024;

describe("parseCredential()", () => {
  it("takes no header for no credential, not for a bad one", ({ expect }) => {
    expect(parseCredential(null)).toEqual({ kind: "none" });
  });

  it.for([
    ["Bearer abc", "abc"],
    ["bearer abc", "abc"],
    ["BEARER   abc", "abc"],
    ["  Bearer abc  ", "abc"],
    [basic("user:abc"), "abc"],
    [basic(":abc"), "abc"],
    [basic("abc:"), "abc"],
    [basic("user:with:colons"), "with:colons"],
    [basic("user:abc", "bAsIc"), "abc"],
    [basic("user:p\u00e4ss"), "p\u00e4ss"],
    [`Bearer ${"x".repeat(MAX)}`, "x".repeat(MAX)],
    [basic(`u:${"x".repeat(MAX)}`), "x".repeat(MAX)],
  ] as const)("finds the token in %s", ([header, token], { expect }) => {
    expect(parseCredential(header)).toEqual({ kind: "token", token });
  });

  it.for([
    [""],
    [" "],
    ["Bearer"],
    ["Bearer "],
    ["abc"],
    ["Digest abc"],
    ["Bearer a b"],
    ["Basic"],
    ["Basic Og=="],
    [basic("abc")],
    ["Basic dTph YmM="],
    ["Basic dTphYmM"],
    ["Basic dTphYmM=="],
    ["Basic dTph!YmM="],
    ["Basic dTphYmM=\u00e4"],
    ["Basic dTphPz8-"],
    ["Basic dTphPz8_"],
    ["Basic =dTphYmM"],
    ["Basic u:abc"],
    ["Bearer a, Bearer a"],
    ["Bearer a,Bearer a"],
    [`${basic("u:a")}, ${basic("u:a")}`],
    ["Bearer a,"],
    [`Bearer ${"x".repeat(MAX + 1)}`],
    [basic(`u:${"x".repeat(MAX + 1)}`)],
    [`Bearer ${"x".repeat(1_000_000)}`],
  ])("refuses %s", ([header], { expect }) => {
    expect(parseCredential(header ?? "")).toMatchObject({ kind: "malformed" });
  });

  it("counts the limit in bytes, not in characters", ({ expect }) => {
    const token = "\u00e4".repeat(MAX / 2 + 1);
    expect(parseCredential(basic(`u:${token}`))).toMatchObject({ kind: "malformed" });
  });

  it("never throws, and never shows the token in a problem", ({ expect }) => {
    const property = fc.property(fc.string({ unit: "binary" }), (header) => {
      const credential = parseCredential(header);
      expect(["token", "malformed"]).toContain(credential.kind);
      if (credential.kind === "malformed") expect(credential.problem).toMatch(/^[a-zA-Z ]+$/);
    });
    fc.assert(property, { numRuns: 500 });
  });

  it("finds every password that clients can send, whatever is in it", ({ expect }) => {
    const password = fc.string({ minLength: 1, maxLength: 200 });
    const property = fc.property(
      fc.string().map((user) => user.replaceAll(":", "")),
      password,
      (user, token) => {
        expect(parseCredential(basic(`${user}:${token}`))).toEqual({ kind: "token", token });
      },
    );
    fc.assert(property);
  });
});
