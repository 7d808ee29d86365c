// Guarantee: the go command shows an error text whole. It stops at a blank line, after 8 lines, and
// drops a text with a character that is neither graphic nor a space.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { respondError, toErrorText } from "../../../src/http/respond.ts";

describe("toErrorText()", () => {
  it("has at most 8 lines and 640 bytes, no blank line, and ends with the request's id", ({
    expect,
  }) => {
    const detail = fc.oneof(
      fc.string({ unit: "binary", maxLength: 2000 }),
      fc.array(fc.constantFrom("line", "\n", "\r\n", "\u0000", "é", " ", "\u202e"), { maxLength: 400 }).map((parts) => parts.join("")),
    ); // prettier-ignore
    const isShown = (text: string): boolean => {
      const body = toErrorText(new ProxyError("not_fetched", text), "abc-1");
      const lines = body.slice(0, -1).split("\n");
      return (
        Buffer.byteLength(body) <= 640 &&
        lines.length <= 8 &&
        lines.every((line) => line.trim() !== "") &&
        !/[^\n\P{C}]|[\p{Zl}\p{Zp}]/u.test(body) &&
        body.endsWith("\nrequest-id: abc-1\n")
      );
    };
    const run = fc.check(fc.property(detail, isShown), { seed: 1, numRuns: 1000 });
    expect(run.counterexample).toBeNull();
  });

  it("cuts between two characters, and keeps what is no ASCII", ({ expect }) => {
    for (const letter of ["é", "世", "😀"]) {
      for (let before = 0; before < 4; before++) {
        const detail = "x".repeat(before) + letter.repeat(600);
        const body = toErrorText(new ProxyError("upstream_denied", detail), "abc-1");
        expect(Buffer.byteLength(body)).toBeLessThanOrEqual(640);
        const [first = ""] = body.split("\n");
        expect(first).toMatch(
          new RegExp(`^refused by the source: x{${before}}(?:${letter})+\\.\\.\\.$`, "u"),
        );
      }
    }
  });

  it("says it all in its first line", ({ expect }) => {
    const body = toErrorText(new ProxyError("module_not_found", "no source has it"), "abc-1");
    expect(body).toBe("not found: no source has it\nrequest-id: abc-1\n");
  });
});

describe("respondError()", () => {
  const options = { requestId: "abc-1", method: "GET", cachedOnly: false, open: true };

  it("has what its status calls for", async ({ expect }) => {
    const denied = respondError(new ProxyError("credentials_missing", "x"), options);
    expect(denied.headers.get("WWW-Authenticate")).toBe('Basic realm="goproxy-edge"');
    const method = respondError(new ProxyError("method_not_allowed", "x"), options);
    expect(method.headers.get("Allow")).toMatch(/^GET, HEAD/);
    const limited = respondError(
      new ProxyError("rate_limited", "x", { retryAfterSeconds: 7 }),
      options,
    );
    expect(limited.headers.get("Retry-After")).toBe("7");
    const head = respondError(new ProxyError("internal", "x"), { ...options, method: "HEAD" });
    expect(await head.text()).toBe("");
    const cachedOnly = respondError(new ProxyError("not_fetched", "x"), {
      ...options,
      cachedOnly: true,
      open: true,
    });
    expect(cachedOnly.headers.get("Vary")).toBe("Disable-Module-Fetch");
  });
});
