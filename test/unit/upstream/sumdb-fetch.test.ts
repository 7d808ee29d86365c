import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { createHttpClient } from "../../../src/upstream/http-client.ts";
import { createSumdbFetch } from "../../../src/upstream/sumdb-fetch.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const RELAY = "https://relay.test";
const LOOKUP = "/lookup/a.test/m@v1.0.0";

/** A database behind one proxy that may relay it; answers are statuses, or texts with status 200. */
function make(url?: string) {
  const clock = new FakeClock();
  const sent: string[] = [];
  const says = new Map<string, number | string>();
  let reason = "";
  let retryAfter: string | undefined;
  const send = (input: RequestInfo | URL): Promise<Response> => {
    const address = input instanceof Request ? input.url : input.toString();
    sent.push(address);
    const said = says.get(address) ?? 503;
    const [body, status] = typeof said === "string" ? [said, 200] : [reason, said];
    const headers = new Headers({ "Content-Type": "text/plain; charset=utf-8" });
    if (retryAfter !== undefined) headers.set("Retry-After", retryAfter);
    return Promise.resolve(new Response(body, { status, headers }));
  };
  const relay = { name: "relay", baseUrl: RELAY, authorization: undefined, notFound: [404, 410] };
  const sumdbFetch = createSumdbFetch(
    createHttpClient(clock, send),
    clock,
    url === undefined ? [relay] : [],
    { name: "db.test", url },
  );
  const ask = async (path = LOOKUP): Promise<string> => {
    try {
      return Buffer.from(await sumdbFetch(path)).toString();
    } catch (error) {
      return error instanceof ProxyError ? `${error.code}: ${error.publicDetail}` : String(error);
    }
  };
  return {
    clock,
    sent,
    says,
    ask,
    sumdbFetch,
    setReason: (text: string) => void (reason = text),
    setRetryAfter: (text: string) => void (retryAfter = text),
  };
}

describe("createSumdbFetch() with a proxy that may relay the database", () => {
  const supported = `${RELAY}/sumdb/db.test/supported`;
  const relayed = `${RELAY}/sumdb/db.test${LOOKUP}`;
  const direct = `https://db.test${LOOKUP}`;

  // Guarantee: the first request after the database is back works.
  it("asks a proxy again that said no, as soon as there is no other way", async ({ expect }) => {
    const { says, ask } = make();
    says.set(supported, 404);
    expect(await ask()).toMatch(/^sumdb_unavailable/);
    says.set(supported, "").set(relayed, "record");
    expect(await ask()).toBe("record");
  });

  it("believes a proxy that relays it for ten minutes, one that does not for 5 s", async ({
    expect,
  }) => {
    const { clock, sent, says, ask } = make();
    says.set(supported, 404).set(direct, "record");
    const askAndCount = async () => {
      sent.length = 0;
      expect(await ask()).toBe("record");
      return sent.filter((address) => address === supported).length;
    };
    expect(await askAndCount()).toBe(1);
    clock.advance(4999);
    expect(await askAndCount()).toBe(0);
    clock.advance(1);
    says.set(supported, "").set(relayed, "record");
    expect(await askAndCount()).toBe(1);
    clock.advance(599_999);
    expect(await askAndCount()).toBe(0);
    clock.advance(1);
    expect(await askAndCount()).toBe(1);
  });
});

describe("createSumdbFetch() and what a database refuses", () => {
  const BASE = "https://db.test/base";

  it.for([400, 404, 410, 422])(
    "takes a %i of a lookup for an absence",
    async (status, { expect }) => {
      const { says, ask, setReason } = make(BASE);
      setReason("not found: a.test/m@v1.0.0: no such tag\n\u001b[31mand more\n");
      says.set(BASE + LOOKUP, status);
      expect(await ask()).toBe(
        "sumdb_not_found: db.test says not found: a.test/m@v1.0.0: no such tag\n[31mand more",
      );
      setReason("");
      expect(await ask()).toBe("sumdb_not_found: db.test does not have it");
    },
  );

  it.for([401, 403, 407, 408, 429, 500, 503])(
    "takes a %i of a lookup for an outage",
    async (status, { expect }) => {
      const { says, ask } = make(BASE);
      says.set(BASE + LOOKUP, status);
      expect(await ask()).toMatch(/^sumdb_unavailable: db\.test: /);
    },
  );

  it("hands on when a database that is asked too often wants to be asked again", async ({
    expect,
  }) => {
    const { says, sumdbFetch, setRetryAfter } = make(BASE);
    says.set(BASE + LOOKUP, 429);
    setRetryAfter("17");
    await expect(sumdbFetch(LOOKUP)).rejects.toMatchObject({
      code: "sumdb_unavailable",
      retryAfterSeconds: 17,
    });
  });

  it("takes a 400 of anything else for an outage", async ({ expect }) => {
    const { says, ask } = make(BASE);
    for (const path of ["/latest", "/tile/8/0/000"]) {
      says.set(BASE + path, 400);
      expect(await ask(path)).toMatch(/^sumdb_unavailable/);
      says.set(BASE + path, 404);
      expect(await ask(path)).toMatch(/^sumdb_not_found/);
    }
  });
});
