// Guarantee: the go command shows an error text whole. It stops at a blank line, after 8 lines, and
// drops a text with a character that does not print.

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
    fc.assert(
      fc.property(detail, (text) => {
        const body = toErrorText(new ProxyError("not_fetched", text), "abc-1");
        expect(Buffer.byteLength(body)).toBeLessThanOrEqual(640);
        expect(body.endsWith("\nrequest-id: abc-1\n")).toBe(true);
        const lines = body.slice(0, -1).split("\n");
        expect(lines.length).toBeLessThanOrEqual(8);
        for (const line of lines) expect(line).toMatch(/^[\x20-\x7e]*\S[\x20-\x7e]*$/);
      }),
      { seed: 1, numRuns: 1000 },
    );
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
