import { afterAll, beforeAll, describe, it } from "vitest";
import { alertsOf } from "../support/alerts.ts";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { readFixtures } from "../support/module-fixture.ts";
import { askRaw } from "../support/raw-request.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

// `/` and `/-/…`, and what a host that is none does to them and to the protocol.

const ADMIN = "adm1n-token";
const READER = "r3ader-token";
const AUDITOR = "aud1tor-token";

const NO_HOSTS = ["a b", "x.y:99999", "[::1", "<img>", "%3Cscript%3E"];
const SHIFTING_HOSTS = ["h/example.com/hello/@v/list?", "h/t/acme", "h/-/healthz?", "h/"];

describe.each(STORAGES)("addresses of our own with --storage %s", (storage) => {
  let upstream: FakeUpstream;
  let server: RunningServer;

  beforeAll(async () => {
    upstream = await FakeUpstream.start(readFixtures());
    server = await startServer({
      storage,
      config: {
        upstreams: [{ url: upstream.url }],
        sumdb: "off",
        teams: [
          {
            name: "acme",
            tokens: [
              { name: "r", role: "reader", secret: "READER" },
              { name: "a", role: "auditor", secret: "AUDITOR" },
            ],
          },
        ],
      },
      env: { ADMIN_TOKEN: ADMIN, READER, AUDITOR },
    });
  });

  afterAll(async () => {
    await server.stop();
    await upstream.down();
  });

  it("answer under a host that is none, and nobody is alarmed", async ({ expect }) => {
    const admin = [`Authorization: Bearer ${ADMIN}`];
    for (const host of NO_HOSTS) {
      const page = await askRaw(server.url, "/", [], host);
      expect({ host, status: page.status }).toEqual({ host, status: 400 });
      expect(page.text).toContain("invalid request: the Host header names no host\n");
      const health = await askRaw(server.url, "/-/healthz", [], host);
      const ready = await askRaw(server.url, "/-/readyz", [], host);
      const job = await askRaw(server.url, "/-/api/v1/jobs/x", admin, host);
      const statuses = [health, ready, job].map(({ status }) => status);
      expect({ host, statuses }).toEqual({ host, statuses: [200, 200, 404] });
    }
    expect(alertsOf(server)).toEqual([]);
  });

  it("and all others are malformed under a host with a slash; nobody is asked", async ({
    expect,
  }) => {
    const before = upstream.requests.filter(({ path }) => path !== "/").length;
    for (const host of SHIFTING_HOSTS) {
      for (const path of ["/", "/-/healthz", "/example.com/hello/@v/list"]) {
        const { status, text } = await askRaw(server.url, path, [], host);
        expect({ host, path, status }).toEqual({ host, path, status: 404 });
        expect(text).toContain("not found: malformed path: the Host header names no host\n");
      }
    }
    expect(upstream.requests.filter(({ path }) => path !== "/")).toHaveLength(before);
    expect(alertsOf(server)).toEqual([]);
  });

  it("have the headers of the GET for a HEAD, without a body", async ({ expect }) => {
    for (const path of ["/", "/-/healthz", "/-/readyz", "/-/nothing", "/-/api/v1/jobs/x"]) {
      const get = await server.ask(path);
      const head = await server.ask(path, { method: "HEAD" });
      expect({ path, status: head.status }).toEqual({ path, status: get.status });
      expect({ path, size: head.headers["content-length"] }).toEqual({
        path,
        size: String(get.body.length),
      });
      expect(head.headers["content-type"]).toBe(get.headers["content-type"]);
      expect(head.body).toHaveLength(0);
    }
  });

  it("of the API take their own methods only: 405 with Allow", async ({ expect }) => {
    const headers = { Authorization: `Bearer ${ADMIN}` };
    const table = [
      ["/-/api/v1/reindex", "GET", "POST"],
      ["/-/api/v1/reindex", "DELETE", "POST"],
      ["/-/api/v1/verify", "PUT", "POST"],
      ["/-/api/v1/jobs/x", "POST", "GET, HEAD"],
      ["/-/healthz", "POST", "GET, HEAD"],
      ["/", "DELETE", "GET, HEAD"],
    ] as const;
    for (const [path, method, allow] of table) {
      const answer = await server.ask(path, { method, headers });
      const { status } = answer;
      expect({ path, method, status, allow: answer.headers.allow }).toEqual({
        path,
        method,
        status: 405,
        allow,
      });
      expect(answer.text).toContain("is not allowed here");
    }
    const stranger = await server.ask("/-/api/v1/reindex", { method: "GET" });
    expect(stranger.status).toBe(401);
    const nothing = await server.ask("/-/api/v1/nothing", { method: "POST", headers });
    expect({ status: nothing.status, body: JSON.parse(nothing.text) as unknown }).toMatchObject({
      status: 404,
      body: { error: { code: "module_not_found" } },
    });
  });

  it("of the API are the administrator's below a team's address as well, which tells no team", async ({
    expect,
  }) => {
    const bearer = (token: string): Record<string, string> => ({
      Authorization: `Bearer ${token}`,
    });
    for (const team of ["acme", "nobody"]) {
      const path = `/t/${team}/-/api/v1/jobs/x`;
      const admin = await server.ask(path, { headers: bearer(ADMIN) });
      const reader = await server.ask(path, { headers: bearer(READER) });
      const nobody = await server.ask(path);
      const statuses = [admin, reader, nobody].map(({ status }) => status);
      expect({ team, statuses }).toEqual({ team, statuses: [404, 403, 401] });
      expect(nobody.headers["cache-control"]).toBe("private, no-store");
    }
  });

  it("of the API say 403 to a token of a team, whatever its role, and 401 to an unknown one", async ({
    expect,
  }) => {
    const ask = async (token: string, prefix = ""): Promise<[number, string]> => {
      const headers = { Authorization: `Bearer ${token}` };
      const { status, text } = await server.ask(`${prefix}/-/api/v1/jobs/x`, { headers });
      return [status, (JSON.parse(text) as { error: { code: string } }).error.code];
    };
    expect(await ask(READER)).toEqual([403, "role_missing"]);
    expect(await ask(AUDITOR)).toEqual([403, "role_missing"]);
    expect(await ask(READER, "/t/acme")).toEqual([403, "role_missing"]);
    expect(await ask("unknown")).toEqual([401, "credentials_invalid"]);
    expect(await ask(ADMIN)).toEqual([404, "module_not_found"]);
  });
});
