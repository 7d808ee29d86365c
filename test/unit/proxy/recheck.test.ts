import { describe, it } from "vitest";
import { goModHash } from "../../../src/module/dirhash.ts";
import { type FileRequest, parseModuleRequest } from "../../../src/module/request.ts";
import { sha256Hex } from "../../../src/module/sha256.ts";
import type { FileRecord, FileStore, Scope, SecurityEvent } from "../../../src/proxy/ports.ts";
import { recheckVersion } from "../../../src/proxy/recheck.ts";
import type { SourceChain } from "../../../src/proxy/source-chain.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const SCOPE = "team/acme" as Scope;
const request = parseModuleRequest("git.acme.test/m/@v/v1.0.0.zip") as FileRequest;
const INFO = '{"Version":"v1.0.0"}';
const MOD = "module git.acme.test/m\n";

function make(stored: readonly ("info" | "mod")[], says: Readonly<Record<string, string | Error>>) {
  const records = new Map<string, FileRecord>();
  const base = { sizeBytes: 1, source: "git", fetchedAt: "", verified: "ledger" } as const;
  for (const kind of stored) {
    const bytes = Buffer.from(kind === "info" ? INFO : MOD);
    records.set(`git.acme.test/m/@v/v1.0.0.${kind}`, {
      ...base,
      sha256: sha256Hex(bytes),
      h1: goModHash(bytes),
    });
  }
  const events: SecurityEvent[] = [];
  const asked: string[] = [];
  const files = {
    readRecord: (_: Scope, path: string) => Promise.resolve(records.get(path)),
  } as unknown as FileStore;
  const chain: SourceChain = {
    name: "git",
    isDown: () => false,
    ask({ path }) {
      asked.push(path.slice(path.lastIndexOf(".") + 1));
      const said = says[path.slice(path.lastIndexOf(".") + 1)];
      if (said instanceof Error) return Promise.reject(said);
      if (said === undefined) return Promise.resolve({ found: false, reason: "absent" });
      const body = new Blob([said]).stream();
      return Promise.resolve({
        found: true,
        source: "git",
        body,
        sizeBytes: said.length,
        contentType: "",
      });
    },
  };
  const ports = {
    files,
    clock: new FakeClock(),
    events: { report: (event: SecurityEvent) => void events.push(event) },
  };
  return { run: () => recheckVersion(ports, { scope: SCOPE, request }, chain), events, asked };
}

describe("recheckVersion()", () => {
  it.for([
    ["the same", { info: INFO, mod: MOD }, []],
    ["another info", { info: `${INFO} `, mod: MOD }, ["info"]],
    ["another go.mod", { info: INFO, mod: `${MOD}\ngo 1.20\n` }, ["mod"]],
    ["nothing any longer", {}, []],
    ["an outage", { info: new Error("down"), mod: new Error("down") }, []],
    ["an outage and another go.mod", { info: new Error("down"), mod: "module x\n" }, ["mod"]],
  ] as const)("of a source that sends %s", async ([, says, kinds], { expect }) => {
    const { run, events } = make(["info", "mod"], says);
    await run();
    expect(events).toMatchObject(
      kinds.map((kind) => ({
        action: "tag-moved",
        scope: SCOPE,
        path: `git.acme.test/m/@v/v1.0.0.${kind}`,
      })),
    );
    expect(events).toHaveLength(kinds.length);
  });

  it("raises one alarm for one moved tag", async ({ expect }) => {
    const { run, events } = make(["info", "mod"], { info: "{}", mod: "module x\n" });
    await run();
    expect(events).toHaveLength(1);
  });

  it("asks only for what is stored", async ({ expect }) => {
    const { run, asked } = make(["mod"], { info: "{}", mod: MOD });
    await run();
    expect(asked).toEqual(["mod"]);
  });
});
