import { describe, it } from "vitest";
import { goModHash } from "../../../src/module/dirhash.ts";
import { bytesSource } from "../../../src/module/byte-window.ts";
import { type FileRequest, parseModuleRequest } from "../../../src/module/request.ts";
import { sha256Hex } from "../../../src/module/sha256.ts";
import { verifyModuleZip } from "../../../src/module/zip-check.ts";
import { MemoryBudget } from "../../../src/proxy/memory-budget.ts";
import type { FileRecord, FileStore, Scope, SecurityEvent } from "../../../src/proxy/ports.ts";
import { Rechecker } from "../../../src/proxy/recheck.ts";
import type { SourceChain } from "../../../src/proxy/source-chain.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { toZipFiles } from "../../support/module-fixture.ts";
import { writeZip } from "../../support/module/zip-writer.ts";

const SCOPE = "team/acme" as Scope;
const request = parseModuleRequest("git.acme.test/m/@v/v1.0.0.zip") as FileRequest;
const INFO = '{"Version":"v1.0.0"}';
const MOD = "module git.acme.test/m\n";

const SPEC = { path: "git.acme.test/m", version: "v1.0.0" };
const BUDGET_BYTES = 1024 * 1024;
const DAY_MS = 24 * 3600 * 1000;

/** A zip of the version; of the same content, `stored` makes other bytes. */
function makeZip(content = "package m\n", stored = false): Uint8Array {
  return writeZip(toZipFiles({ ...SPEC, files: { "a.go": content }, stored }, MOD));
}

type Kind = "info" | "mod" | "zip";
type Said = string | Uint8Array | Error;

async function make(stored: readonly Kind[], says: Partial<Record<Kind, Said>>) {
  const records = new Map<string, FileRecord>();
  const base = { source: "git", fetchedAt: "", verified: "ledger" } as const;
  for (const kind of stored) {
    const bytes = { info: Buffer.from(INFO), mod: Buffer.from(MOD), zip: makeZip() }[kind];
    records.set(`git.acme.test/m/@v/v1.0.0.${kind}`, {
      ...base,
      sizeBytes: bytes.length,
      sha256: sha256Hex(bytes),
      h1: kind === "zip" ? await zipHash(bytes) : goModHash(bytes),
    });
  }
  const events: SecurityEvent[] = [];
  const asked: string[] = [];
  const clock = new FakeClock();
  const now = { ...says, hidesLength: false, breaksOff: false };
  const chain: SourceChain = {
    name: "git",
    isDown: () => false,
    ask({ path }) {
      const kind = path.slice(path.lastIndexOf(".") + 1) as Kind;
      asked.push(kind);
      const said = now[kind];
      if (said instanceof Error) return Promise.reject(said);
      if (said === undefined) return Promise.resolve({ found: false, reason: "absent" });
      const bytes = Buffer.from(said);
      return Promise.resolve({
        found: true,
        source: "git",
        body: new Blob([now.breaksOff ? bytes.subarray(1) : bytes]).stream(),
        sizeBytes: now.hidesLength ? undefined : bytes.length,
        contentType: "",
      });
    },
  };
  const budget = new MemoryBudget(BUDGET_BYTES);
  const rechecker = new Rechecker({
    files: {
      readRecord: (_: Scope, path: string) => Promise.resolve(records.get(path)),
    } as unknown as FileStore,
    verifier: {
      requiresProof: () => true,
      begin: () => () => Promise.reject(new TypeError("nothing is proven here")),
    },
    budget,
    clock,
    newName: () => "name",
    events: { report: (event: SecurityEvent) => void events.push(event) },
  });
  const recheck = () => rechecker.recheck({ scope: SCOPE, request }, chain);
  const run = async () => {
    await recheck();
    return { asked: asked.splice(0), moved: events.splice(0).map(({ path }) => path) };
  };
  return { run, recheck, events, clock, now, budget };
}

async function zipHash(bytes: Uint8Array): Promise<string> {
  const zip = await verifyModuleZip(bytesSource(bytes), SPEC.path, SPEC.version, {
    yieldNow: () => Promise.resolve(),
  });
  if ("problem" in zip) throw new TypeError(zip.problem);
  return zip.h1;
}

const fileOf = (kind: string): string => `git.acme.test/m/@v/v1.0.0.${kind}`;

describe("Rechecker", () => {
  it.for([
    ["the same", { info: INFO, mod: MOD }, []],
    ["another info", { info: `${INFO} `, mod: MOD }, ["info"]],
    ["another go.mod", { info: INFO, mod: `${MOD}\ngo 1.20\n` }, ["mod"]],
    ["nothing any longer", {}, []],
    ["an outage", { info: new Error("down"), mod: new Error("down") }, []],
    ["an outage and another go.mod", { info: new Error("down"), mod: "module x\n" }, ["mod"]],
  ] as const)("of a source that sends %s", async ([, says, kinds], { expect }) => {
    const { run } = await make(["info", "mod"], says);
    expect((await run()).moved).toEqual(kinds.map(fileOf));
  });

  it("raises one alarm for one moved tag, and of which kind it is", async ({ expect }) => {
    const says = { info: "{}", mod: "module x\n", zip: makeZip("package other\n") };
    const { recheck, events } = await make(["info", "mod", "zip"], says);
    await recheck();
    expect(events).toMatchObject([{ action: "tag-moved", scope: SCOPE, path: fileOf("info") }]);
    expect(events).toHaveLength(1);
  });

  it("asks only for what is stored", async ({ expect }) => {
    const { run } = await make(["mod"], { info: "{}", mod: MOD, zip: makeZip() });
    expect((await run()).asked).toEqual(["mod"]);
  });
});

// Guarantee: a moved tag raises an alarm even when nothing but the zip differs.
describe("Rechecker and the zip", () => {
  const SAME = { info: INFO, mod: MOD };

  it.for([
    ["the same bytes", makeZip(), ["zip"], []],
    ["the same content in other bytes", makeZip(undefined, true), ["zip"], []],
    ["other content", makeZip("package other\n"), ["zip"], ["zip"]],
    ["other content of the same length", makeZip("package n\n"), ["zip", "zip"], ["zip"]],
    ["what is no zip", "sorry", ["zip"], ["zip"]],
    ["nothing any longer", undefined, ["zip"], []],
    ["an outage", new Error("down"), ["zip"], []],
  ] as const)("of a source that sends %s", async ([, zip, asked, moved], { expect }) => {
    const { run } = await make(["info", "mod", "zip"], zip === undefined ? SAME : { ...SAME, zip });
    expect(await run()).toEqual({ asked: ["info", "mod", ...asked], moved: moved.map(fileOf) });
  });

  it("does without a length, too", async ({ expect }) => {
    for (const [zip, moved] of [
      [makeZip(), []],
      [makeZip("package other\n".repeat(9)), ["zip"]],
      [makeZip(undefined, true), []],
    ] as const) {
      const { run, now } = await make(["zip"], { zip });
      now.hidesLength = true;
      expect((await run()).moved).toEqual(moved.map(fileOf));
    }
  });

  it("reads it once a day, and again soon after the source did not answer", async ({ expect }) => {
    const { run, clock, now } = await make(["zip"], { zip: new Error("down") });
    expect((await run()).asked).toEqual(["zip"]);
    now.zip = makeZip();
    expect((await run()).asked).toEqual(["zip"]);
    now.zip = makeZip("package other\n");
    clock.advance(DAY_MS - 1);
    expect(await run()).toEqual({ asked: [], moved: [] });
    clock.advance(1);
    expect(await run()).toEqual({ asked: ["zip"], moved: [fileOf("zip")] });
  });

  it("gives the memory back that it took", async ({ expect }) => {
    for (const zip of [makeZip("package other\n"), "sorry", makeZip(undefined, true)]) {
      const { run, budget } = await make(["zip"], { zip });
      await run();
      await expect(budget.acquire(BUDGET_BYTES)).resolves.toBeTypeOf("function");
    }
  });

  it("takes a zip that breaks off for no news", async ({ expect }) => {
    const { run, now } = await make(["zip"], { zip: makeZip("package other\n") });
    now.breaksOff = true;
    expect((await run()).moved).toEqual([]);
  });
});
