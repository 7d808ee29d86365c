import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { goModHash } from "../../../src/module/dirhash.ts";
import type { Home } from "../../../src/proxy/access.ts";
import {
  type Coordinators,
  type FileOutcome,
  type FileRecord,
  PUBLIC_SCOPE,
  type Scope,
  type Sumdb,
} from "../../../src/proxy/ports.ts";
import { createTeamSumdb } from "../../../src/proxy/team-sumdb.ts";

const ACME = "team/acme" as Scope;

const stored = (h1: string, more: Partial<FileRecord> = {}): FileOutcome => ({
  kind: "stored",
  record: {
    sizeBytes: 1,
    sha256: "",
    h1,
    source: "s",
    fetchedAt: "",
    verified: "ledger",
    ...more,
  },
});

function make(hasSumdb = true) {
  const records = new Map<string, string>();
  const fetched: string[] = [];
  const proven: string[] = [];
  const files = new Map<string, FileOutcome>();
  const forgotten: string[] = [];
  const bodies = new Map<string, string>();
  for (const module of ["git.acme.test/m", "public.test/m"]) {
    files.set(`${module}/@v/v1.0.0.zip`, stored("h1:zip"));
    files.set(`${module}/@v/v1.0.0.mod`, stored("h1:mod"));
  }
  const sumdb: Sumdb = {
    name: "public.test/sumdb",
    prove(modulePath, version) {
      proven.push(`${modulePath}@${version}`);
      return Promise.resolve({ zip: "h1:theirs", mod: "h1:theirs", treeSize: 9 });
    },
    serve: () => Promise.reject(new TypeError("not asked here")),
  };
  const coordinators = {
    file(scope: Scope, { path }: { path: string }) {
      fetched.push(`${scope}/${path}`);
      const absent: FileOutcome = { kind: "absent", reason: "no source has it", untilMs: 0 };
      return Promise.resolve(files.get(path) ?? absent);
    },
  } as unknown as Coordinators;
  const database = createTeamSumdb({
    name: "acme.test/sumdb",
    log: {
      append({ modulePath, version, hashes }) {
        records.set(`lookup/${modulePath}@${version}`, `${hashes.zip} ${hashes.mod}`);
        return Promise.resolve();
      },
      serve(path) {
        const record = records.get(path);
        if (record === undefined) throw new ProxyError("sumdb_not_found", "not recorded");
        return Promise.resolve(Buffer.from(record));
      },
    },
    coordinators,
    files: {
      open: (_, path) =>
        Promise.resolve({
          record: { sizeBytes: 1, sha256: "", source: "s", fetchedAt: "", verified: "none" },
          body: new Blob([bodies.get(path) ?? ""]).stream(),
          validator: "",
        }),
    },
    forget: (scope, { path }) => void forgotten.push(`${scope}/${path}`),
    sumdb: hasSumdb ? sumdb : undefined,
    isExempt: () => false,
    homeOf(modulePath): Home {
      if (modulePath.startsWith("git.beta.test")) return { hidden: true };
      return { scope: modulePath.startsWith("git.acme.test") ? ACME : PUBLIC_SCOPE };
    },
  });
  const ask = async (path: string, cachedOnly = false): Promise<string> => {
    try {
      return Buffer.from(await database.serve(path, { cachedOnly })).toString();
    } catch (error) {
      return error instanceof ProxyError ? error.code : String(error);
    }
  };
  return { ask, files, bodies, fetched, forgotten, proven, records, coordinators };
}

describe("createTeamSumdb()", () => {
  it("records a private module with the hashes of first sight, once", async ({ expect }) => {
    const { ask, fetched, proven } = make();
    expect(await ask("lookup/git.acme.test/m@v1.0.0")).toBe("h1:zip h1:mod");
    expect(fetched).toEqual([
      "team/acme/git.acme.test/m/@v/v1.0.0.zip",
      "team/acme/git.acme.test/m/@v/v1.0.0.mod",
    ]);
    expect(await ask("lookup/git.acme.test/m@v1.0.0")).toBe("h1:zip h1:mod");
    expect(fetched).toHaveLength(2);
    expect(proven).toEqual([]);
  });

  it("records a public module with what the public database has proven", async ({ expect }) => {
    const { ask, fetched, proven } = make();
    expect(await ask("lookup/public.test/m@v1.0.0")).toBe("h1:theirs h1:theirs");
    expect(proven).toEqual(["public.test/m@v1.0.0"]);
    expect(fetched).toEqual([]);
  });

  it("records a public module with its own hashes when there is no public database", async ({
    expect,
  }) => {
    const { ask } = make(false);
    expect(await ask("lookup/public.test/m@v1.0.0")).toBe("h1:zip h1:mod");
  });

  it.for([
    ["lookup/git.beta.test/m@v1.0.0", "sumdb_not_found"],
    ["lookup/git.acme.test/absent@v1.0.0", "sumdb_not_found"],
    ["lookup/git.acme.test/m@main", "malformed_version"],
    ["lookup/git.acme.test/m@v1.0", "malformed_version"],
    ["lookup/git.acme.test/m@v2.0.0", "malformed_version"],
    ["lookup/git.acme.test/m", "malformed_version"],
    ["lookup/git.acme.test/M@v1.0.0", "malformed_path"],
    ["tile/8/0/000", "sumdb_not_found"],
  ] as const)("records nothing for %s", async ([path, code], { expect }) => {
    const { ask, records } = make();
    expect(await ask(path)).toBe(code);
    expect(records.size).toBe(0);
  });

  it("appends nothing when only storage may be asked", async ({ expect }) => {
    const { ask, fetched, records } = make();
    expect(await ask("lookup/git.acme.test/m@v1.0.0", true)).toBe("sumdb_not_found");
    expect({ fetched, size: records.size }).toEqual({ fetched: [], size: 0 });
  });

  it("records nothing when one of both files cannot be had", async ({ expect }) => {
    const { ask, files, records } = make();
    files.set("git.acme.test/m/@v/v1.0.0.zip", {
      kind: "failed",
      error: { code: "upstream_unavailable", publicDetail: "down" },
    });
    expect(await ask("lookup/git.acme.test/m@v1.0.0")).toBe("upstream_unavailable");
    files.delete("git.acme.test/m/@v/v1.0.0.zip");
    expect(await ask("lookup/git.acme.test/m@v1.0.0")).toBe("sumdb_not_found");
    expect(records.size).toBe(0);
  });

  // Guarantee: what the log has is what is served, for the log can never take it back.
  it("records the go.mod that stays when the zip's arrival replaces the one seen before", async ({
    expect,
  }) => {
    const { ask, files, forgotten, coordinators } = make(false);
    const base = "public.test/m/@v/v1.0.0";
    files.set(`${base}.mod`, stored("h1:early", { verified: "none" }));
    files.set(`${base}.zip`, stored("h1:zip", { verified: "none", modH1: "h1:final" }));
    const file = coordinators.file.bind(coordinators);
    coordinators.file = async (scope, request, options) => {
      const outcome = await file(scope, request, options);
      // As long as a zip takes to arrive and to be reconciled.
      if (request.kind === "zip") {
        await new Promise(setImmediate);
        files.set(`${base}.mod`, stored("h1:final", { verified: "none" }));
      }
      return outcome;
    };
    expect(await ask("lookup/public.test/m@v1.0.0")).toBe("h1:zip h1:final");
    expect(forgotten).toEqual([`public/${base}.mod`]);
  });

  it("records nothing when the stored go.mod is not the one in the stored zip", async ({
    expect,
  }) => {
    const { ask, files, bodies, records } = make();
    const base = "git.acme.test/m/@v/v1.0.0";
    files.set(`${base}.zip`, stored("h1:zip", { modH1: goModHash(Buffer.from("module m\n")) }));
    bodies.set(`${base}.mod`, "module other\n");
    expect(await ask("lookup/git.acme.test/m@v1.0.0")).toBe("checksum_mismatch");
    expect(records.size).toBe(0);
    bodies.set(`${base}.mod`, "module m\r\n");
    expect(await ask("lookup/git.acme.test/m@v1.0.0")).toBe("h1:zip h1:mod");
  });
});
