import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { createHttpClient, type HttpOrigin } from "../../../src/upstream/http-client.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const ORIGIN: HttpOrigin = {
  name: "main",
  baseUrl: "https://up.test/base",
  authorization: "Bearer s3cret",
  notFound: [404, 410],
};

interface Sent {
  readonly url: string;
  readonly authorization: string | null;
}

type Step = Response | Error | "hang";

/** A client whose answers are given in order; the last one repeats. */
function makeClient(...steps: (() => Step)[]) {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const send = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const headers = new Headers(init?.headers);
    sent.push({
      url: input instanceof Request ? input.url : input.toString(),
      authorization: headers.get("Authorization"),
    });
    const step = (steps[sent.length - 1] ?? steps.at(-1))?.();
    if (step instanceof Response) return Promise.resolve(step);
    if (step instanceof Error) return Promise.reject(step);
    return new Promise((_, reject) => {
      init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
      queueMicrotask(() => clock.advance(60_000));
    });
  };
  const client = createHttpClient(clock, send);
  return { clock, sent, client };
}

const status =
  (code: number, headers: Record<string, string> = {}, body = "words") =>
  (): Response =>
    new Response(body, { status: code, headers: { "Content-Type": "text/plain", ...headers } });
const redirect = (location: string) => (): Response =>
  new Response(null, { status: 302, headers: { Location: location } });

async function failure(work: Promise<unknown>): Promise<ProxyError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error("did not fail");
}

describe("HttpClient.get()", () => {
  it("asks below the base, with the credential", async ({ expect }) => {
    const { client, sent } = makeClient(status(200));
    const answer = await client.get(ORIGIN, "/m/@v/list", 9000);
    expect(answer).toMatchObject({ found: true });
    expect(sent).toEqual([
      { url: "https://up.test/base/m/@v/list", authorization: "Bearer s3cret" },
    ]);
  });

  it.for([
    [400, "upstream_refused", 1],
    [401, "upstream_refused", 1],
    [403, "upstream_denied", 1],
    [407, "upstream_refused", 1],
    [408, "upstream_unavailable", 3],
    [418, "upstream_refused", 1],
    [429, "rate_limited", 1],
    [500, "upstream_unavailable", 3],
    [503, "upstream_unavailable", 3],
  ] as const)("%i becomes %s after %i tries", async ([code, expected, tries], { expect }) => {
    const { client, sent } = makeClient(status(code));
    const error = await failure(client.get(ORIGIN, "/x", 9000));
    expect({ code: error.code, tries: sent.length }).toEqual({ code: expected, tries });
  });

  it("tells absence by the origin's own statuses", async ({ expect }) => {
    const { client } = makeClient(status(404, {}, "no such module\nmore"));
    expect(await client.get(ORIGIN, "/x", 9000)).toEqual({
      found: false,
      reason: "no such module\nmore",
    });
    const denied = makeClient(status(403));
    const only403 = { ...ORIGIN, notFound: [403] };
    expect(await denied.client.get(only403, "/x", 9000)).toMatchObject({ found: false });
    expect((await failure(makeClient(status(404)).client.get(only403, "/x", 9000))).code).toBe(
      "upstream_refused",
    );
  });

  it("waits between tries, with jitter, and for a short Retry-After", async ({ expect }) => {
    const { client, clock } = makeClient(
      status(503),
      status(503, { "Retry-After": "1" }),
      status(200),
    );
    await client.get(ORIGIN, "/x", 9000);
    expect(clock.waits).toEqual([100, 1000]);
    const other = makeClient(status(503), status(200));
    other.clock.randomValue = 0;
    await other.client.get(ORIGIN, "/x", 9000);
    expect(other.clock.waits).toEqual([50]);
  });

  it("does not wait for a long Retry-After, nor beyond the deadline", async ({ expect }) => {
    const long = makeClient(status(503, { "Retry-After": "60" }));
    await failure(long.client.get(ORIGIN, "/x", 9000));
    expect(long.clock.waits).toEqual([]);
    const late = makeClient(status(503));
    await failure(late.client.get(ORIGIN, "/x", 90));
    expect(late.clock.waits).toEqual([]);
  });

  // The fake clock begins with 2026-01-01T00:00:00Z, a Thursday.
  it.for<[string | undefined, number | undefined]>([
    ["17", 17],
    ["0", 0],
    ["31536000", 31_536_000],
    ["Thu, 01 Jan 2026 00:01:30 GMT", 90],
    ["Thursday, 01-Jan-26 00:01:30 GMT", 90],
    ["Wed, 31 Dec 2025 23:59:59 GMT", 0],
    ["soon", undefined],
    ["-5", undefined],
    ["Thu, 99 Jan 2026 00:00:00 GMT", undefined],
    [undefined, undefined],
  ])("hands on the Retry-After %s of a 429 as %s", async ([header, seconds], { expect }) => {
    const headers = header === undefined ? {} : { "Retry-After": header };
    const { client } = makeClient(status(429, headers));
    expect((await failure(client.get(ORIGIN, "/x", 9000))).retryAfterSeconds).toBe(seconds);
  });

  it("repeats a connection that failed, and says unreachable", async ({ expect }) => {
    const { client, sent } = makeClient(() => new Error("ECONNREFUSED 192.0.2.1"), status(200));
    expect(await client.get(ORIGIN, "/x", 9000)).toMatchObject({ found: true });
    expect(sent).toHaveLength(2);
    const down = makeClient(() => new Error("ECONNREFUSED 192.0.2.1"));
    const error = await failure(down.client.get(ORIGIN, "/x", 9000));
    expect(error.code).toBe("upstream_unavailable");
    expect(error.publicDetail).not.toContain("192.0.2.1");
  });

  it("gives up at the deadline, and leaves no timer behind", async ({ expect }) => {
    const { client, clock } = makeClient(() => "hang");
    expect((await failure(client.get(ORIGIN, "/x", 9000))).code).toBe("upstream_timeout");
    expect(clock.pending).toBe(0);
  });

  it("follows redirects, the credential staying at its origin", async ({ expect }) => {
    const { client, sent } = makeClient(
      redirect("/elsewhere"),
      redirect("https://cdn.test/file"),
      redirect("https://up.test:8443/port"),
      redirect("https://up.test/back"),
      status(200),
    );
    await client.get(ORIGIN, "/x", 9000);
    expect(sent.map(({ url, authorization }) => [url, authorization !== null])).toEqual([
      ["https://up.test/base/x", true],
      ["https://up.test/elsewhere", true],
      ["https://cdn.test/file", false],
      ["https://up.test:8443/port", false],
      ["https://up.test/back", true],
    ]);
  });

  it.for([
    ["to plain http", redirect("http://up.test/x")],
    ["to another scheme", redirect("file:///etc/passwd")],
    ["to no address", redirect("http://[")],
    ["in a circle", redirect("/again")],
  ] as const)("refuses a redirect %s", async ([, step], { expect }) => {
    const { client, sent } = makeClient(step);
    const error = await failure(client.get(ORIGIN, "/x", 9000));
    expect(error.code).toBe("upstream_refused");
    expect(sent.length).toBeLessThan(10);
  });

  it.for([
    "localhost.", "intranet", "intranet.", "metadata.internal", "metadata.internal.", "printer.local.", "127.0.0.1.",
    "10.1.2.3", "169.254.169.254", "[::1]", "[::]", "[::7f00:1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]", "[2002:7f00:1::]", "[fd00::1]", "[fe80::1]",
  ])("refuses a redirect from outside to %s", async (host, { expect }) => {
    const { client, sent } = makeClient(redirect(`https://${host}/x`), status(200));
    expect((await failure(client.get(ORIGIN, "/x", 9000))).code).toBe("upstream_refused");
    expect(sent).toHaveLength(1);
  }); // prettier-ignore

  it.for(["cdn.test", "cdn.test.", "8.8.8.8", "[2606:4700::1111]", "[2001:db8::1]"])(
    "follows a redirect to %s",
    async (host, { expect }) => {
      const { client, sent } = makeClient(redirect(`https://${host}/x`), status(200));
      await client.get(ORIGIN, "/x", 9000);
      expect(sent).toHaveLength(2);
    },
  );

  it("shows the lines of a plain-text reason without control characters, and no secret", async ({
    expect,
  }) => {
    const reasonOf = async (
      body: string,
      type = "text/plain",
      origin = ORIGIN,
    ): Promise<string> => {
      const { client } = makeClient(status(404, { "Content-Type": type }, body));
      const answer = await client.get(origin, "/x", 9000);
      return answer.found ? "" : answer.reason;
    };
    expect(await reasonOf("one\r\n\n \t\ntwo\n")).toBe("one\ntwo");
    expect(await reasonOf("a\u001b[31mb\u0000c\u202eé\t世")).toBe("a[31mbcé 世");
    expect((await reasonOf("line\n".repeat(50))).split("\n")).toHaveLength(8);
    expect(Buffer.byteLength(await reasonOf("é".repeat(5000)))).toBeLessThanOrEqual(640);
    expect(await reasonOf("<p>page</p>", "text/html")).toBe("");
    expect(await reasonOf("you sent Bearer s3cret")).not.toContain("s3cret");
    expect(await reasonOf("fine\nyou sent s3\u0007cret")).toBe("");
    const basic = { ...ORIGIN, authorization: `Basic ${btoa("robot:pass-word")}` };
    expect(await reasonOf("bad login robot:pass-word", "text/plain", basic)).not.toContain(
      "pass-word",
    );
    expect(await reasonOf("bad password pass-word", "text/plain", basic)).not.toContain(
      "pass-word",
    );
  });

  it("reads no more of an endless reason than it needs", async ({ expect }) => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new TextEncoder().encode("words ".repeat(1000)));
      },
    });
    const { client } = makeClient(
      () => new Response(endless, { status: 404, headers: { "Content-Type": "text/plain" } }),
    );
    await client.get(ORIGIN, "/x", 9000);
    expect(pulled).toBeLessThan(10);
  });

  it("believes a length only of a body that is not compressed", async ({ expect }) => {
    const sizeOf = async (headers: Record<string, string>): Promise<number | undefined> => {
      const answer = await makeClient(status(200, headers)).client.get(ORIGIN, "/x", 9000);
      return answer.found ? answer.sizeBytes : undefined;
    };
    expect(await sizeOf({ "Content-Length": "5" })).toBe(5);
    expect(await sizeOf({ "Content-Length": "5", "Content-Encoding": "gzip" })).toBeUndefined();
    expect(await sizeOf({ "Content-Length": "5x" })).toBeUndefined();
    expect(await sizeOf({})).toBeUndefined();
  });
});

describe("HttpClient.probe()", () => {
  it("says whether an origin answers, and never fails", async ({ expect }) => {
    const probe = async (step: () => Step): Promise<boolean> =>
      await makeClient(step).client.probe(ORIGIN, 2000);
    expect(await probe(status(200))).toBe(true);
    expect(await probe(status(404))).toBe(true);
    expect(await probe(status(503))).toBe(false);
    expect(await probe(() => new Error("refused"))).toBe(false);
    expect(await probe(() => "hang")).toBe(false);
  });
});
