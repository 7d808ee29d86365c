import { describe, it } from "vitest";
import { ProxyError, type ProxyErrorCode } from "../../../src/errors/proxy-error.ts";
import { type FileRequest, parseModuleRequest } from "../../../src/module/request.ts";
import { createLedgerVerifier } from "../../../src/proxy/ledger-verifier.ts";
import {
  type AnswerIndex,
  PUBLIC_SCOPE,
  type Scope,
  type SecurityEvent,
  type Sumdb,
  type Verifier,
} from "../../../src/proxy/ports.ts";
import { createSumdbVerifier } from "../../../src/proxy/sumdb-verifier.ts";

const ACME = "team/acme" as Scope;
const request = (kind: string): FileRequest =>
  parseModuleRequest(`example.com/m/@v/v1.0.0.${kind}`) as FileRequest;

class FakeSumdb implements Sumdb {
  readonly name = "db.test";
  readonly asked: string[] = [];
  fails: ProxyErrorCode | undefined;

  async prove(modulePath: string, version: string) {
    this.asked.push(`${modulePath}@${version}`);
    if (this.fails !== undefined) throw new ProxyError(this.fails, "told by the database");
    return { zip: "h1:zip", mod: "h1:mod", treeSize: 7 };
  }

  serve(): Promise<Uint8Array> {
    return Promise.reject(new TypeError("not asked here"));
  }
}

async function outcomeOf(proof: Promise<unknown>): Promise<unknown> {
  return await proof.catch((error: unknown) =>
    error instanceof ProxyError ? error.code : String(error),
  );
}

describe("createSumdbVerifier()", () => {
  const make = (sumdb: Sumdb | undefined) =>
    createSumdbVerifier(sumdb, (path) => path.startsWith("exempt.test"));

  it("proves a zip and a go.mod by their own lines, and asks as soon as it begins", async ({
    expect,
  }) => {
    const sumdb = new FakeSumdb();
    const verifier = make(sumdb);
    for (const kind of ["zip", "mod"]) {
      const prove = verifier.begin(PUBLIC_SCOPE, request(kind));
      expect(sumdb.asked.pop()).toBe("example.com/m@v1.0.0");
      expect(await prove(`h1:${kind}`)).toEqual({ verified: "sumdb", treeSize: 7 });
      const other = kind === "zip" ? "h1:mod" : "h1:zip";
      expect(await outcomeOf(prove(other))).toBe("checksum_mismatch");
      expect(await outcomeOf(prove(""))).toBe("checksum_mismatch");
    }
  });

  it.for([
    ["sumdb_not_found", "checksum_missing"],
    ["sumdb_unavailable", "sumdb_unavailable"],
    ["sumdb_invalid", "sumdb_invalid"],
    ["tree_forked", "tree_forked"],
  ] as const)(
    "makes %s of the database %s, never an absence",
    async ([fails, code], { expect }) => {
      const sumdb = new FakeSumdb();
      sumdb.fails = fails;
      const prove = make(sumdb).begin(PUBLIC_SCOPE, request("zip"));
      expect(await outcomeOf(prove("h1:zip"))).toBe(code);
    },
  );

  it("asks once more when the database was away or did not know it before the bytes were there", async ({
    expect,
  }) => {
    const sumdb = new FakeSumdb();
    const verifier = make(sumdb);
    for (const [fails, outcome] of [
      ["sumdb_unavailable", { verified: "sumdb", treeSize: 7 }],
      ["unavailable", { verified: "sumdb", treeSize: 7 }],
      ["sumdb_not_found", { verified: "sumdb", treeSize: 7 }],
      ["sumdb_invalid", "sumdb_invalid"],
    ] as const) {
      sumdb.fails = fails;
      const prove = verifier.begin(PUBLIC_SCOPE, request("mod"));
      await new Promise((resolve) => setImmediate(resolve));
      sumdb.fails = undefined;
      expect(await outcomeOf(prove("h1:mod"))).toEqual(outcome);
    }
  });

  it("leaves no unhandled failure behind when the bytes never come", async ({ expect }) => {
    const sumdb = new FakeSumdb();
    sumdb.fails = "sumdb_unavailable";
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", note);
    make(sumdb).begin(PUBLIC_SCOPE, request("zip"));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  it("names nothing to the database that is private, exempt or an info, and asks for no proof of it", async ({
    expect,
  }) => {
    const sumdb = new FakeSumdb();
    const verifier = make(sumdb);
    const exempt = parseModuleRequest("exempt.test/m/@v/v1.0.0.zip") as FileRequest;
    for (const [scope, asked] of [
      [ACME, request("zip")],
      [PUBLIC_SCOPE, request("info")],
      [PUBLIC_SCOPE, exempt],
    ] as const) {
      expect(verifier.requiresProof(scope, asked)).toBe(false);
      expect(await verifier.begin(scope, asked)("h1:any")).toEqual({ verified: "none" });
    }
    expect(sumdb.asked).toEqual([]);
    expect(verifier.requiresProof(PUBLIC_SCOPE, request("mod"))).toBe(true);
    expect(make(undefined).requiresProof(PUBLIC_SCOPE, request("mod"))).toBe(false);
    expect(await make(undefined).begin(PUBLIC_SCOPE, request("mod"))("h1:x")).toEqual({
      verified: "none",
    });
  });
});

describe("createLedgerVerifier()", () => {
  const make = () => {
    const pins = new Map<string, string>();
    const events: SecurityEvent[] = [];
    const begun: string[] = [];
    const index = {
      readPin: (scope: Scope, path: string): string | undefined => pins.get(`${scope}/${path}`),
    } as AnswerIndex;
    const publicVerifier: Verifier = {
      requiresProof: (scope) => scope === PUBLIC_SCOPE,
      begin(_, { path }) {
        begun.push(path);
        return () => Promise.resolve({ verified: "sumdb", treeSize: 3 });
      },
    };
    const verifier = createLedgerVerifier(publicVerifier, index, {
      report: (event) => void events.push(event),
    });
    return { verifier, events, begun, pins };
  };

  it("takes what was committed first and refuses everything else with an alarm", async ({
    expect,
  }) => {
    const { verifier, events, pins } = make();
    const prove = (h1: string) => outcomeOf(verifier.begin(ACME, request("zip"))(h1));
    // Bytes that are proven and then fail another check were never seen.
    expect(await prove("h1:never-committed")).toEqual({ verified: "ledger" });
    expect(await prove("h1:first")).toEqual({ verified: "ledger" });
    pins.set(`${ACME}/${request("zip").path}`, "h1:first");
    expect(await prove("h1:first")).toEqual({ verified: "ledger" });
    expect(events).toEqual([]);
    expect(await prove("h1:moved")).toBe("checksum_mismatch");
    expect(events).toMatchObject([{ action: "tag-moved", scope: ACME }]);
    expect(await prove("h1:first")).toEqual({ verified: "ledger" });
  });

  it("keeps files and teams apart", async ({ expect }) => {
    const { verifier, pins } = make();
    pins.set(`${ACME}/${request("zip").path}`, "h1:a");
    expect(await verifier.begin(ACME, request("zip"))("h1:a")).toEqual({ verified: "ledger" });
    expect(await verifier.begin(ACME, request("mod"))("h1:b")).toEqual({ verified: "ledger" });
    const beta = verifier.begin("team/beta" as Scope, request("zip"));
    expect(await beta("h1:c")).toEqual({ verified: "ledger" });
  });

  it("leaves public modules to the database and pins nothing of them", async ({ expect }) => {
    const { verifier, begun, pins } = make();
    const proof = await verifier.begin(PUBLIC_SCOPE, request("zip"))("h1:x");
    expect(proof).toEqual({ verified: "sumdb", treeSize: 3 });
    expect(begun).toHaveLength(1);
    expect(pins.size).toBe(0);
    expect(verifier.requiresProof(ACME, request("zip"))).toBe(false);
    expect(verifier.requiresProof(PUBLIC_SCOPE, request("zip"))).toBe(true);
  });

  it("pins nothing before the bytes are there", ({ expect }) => {
    const { verifier, pins } = make();
    verifier.begin(ACME, request("zip"));
    expect(pins.size).toBe(0);
  });
});
