// Guarantee: a crowd that asks one isolate for a file costs one call to its coordinator, and each
// client gets the whole committed file, a broken body, or an answer of his own: whatever becomes of
// the request that was first.

import { createHash } from "node:crypto";
import { describe, it } from "vitest";
import { ProxyError } from "../../src/errors/proxy-error.ts";
import { type FileRequest, parseModuleRequest } from "../../src/module/request.ts";
import { MemoryBudget } from "../../src/proxy/memory-budget.ts";
import {
  type FileOptions,
  type FileOutcome,
  type FileRecord,
  type OpenFile,
  PUBLIC_SCOPE,
} from "../../src/proxy/ports.ts";
import { SharedFetches } from "../../src/proxy/shared-fetches.ts";
import { FakeClock } from "../support/fake-clock.ts";

const MEBIBYTE = 1024 * 1024;
const ZIP = parseModuleRequest("example.com/m/@v/v1.0.0.zip") as FileRequest;
const MOD = parseModuleRequest("example.com/m/@v/v1.0.0.mod") as FileRequest;

/** Bytes that tell where they stand. */
function bytesOf(sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, index) => (index >> 10) & 0xff);
}

function digestOf(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}

function recordOf(body: Uint8Array): FileRecord {
  return { sizeBytes: body.length, sha256: "", source: "", fetchedAt: "", verified: "none" };
}

/** A coordinator that answers what the test says, and a store that holds one file. */
class World {
  readonly clock = new FakeClock();
  readonly budget = new MemoryBudget(48 * MEBIBYTE);
  readonly calls: FileOptions[] = [];
  readonly deferred: Promise<unknown>[] = [];
  stored: Uint8Array | undefined;
  /** From where the stored file was opened, in bytes. */
  readonly opened: number[] = [];
  answer: (options: FileOptions) => Promise<FileOutcome> = () => Promise.reject(new Error("unset"));
  readonly fetches = new SharedFetches({
    clock: this.clock,
    budget: this.budget,
    coordinators: {
      file: (_scope, _request, options) => {
        this.calls.push(options);
        return this.answer(options);
      },
      mutable: () => Promise.reject(new Error("not asked")),
      recheck: () => Promise.reject(new Error("not asked")),
    },
    files: {
      open: () => Promise.resolve(this.#open(0)),
      reopen: (_scope: string, _path: string, range?: { readonly offsetBytes: number }) =>
        Promise.resolve(this.#open(range?.offsetBytes ?? 0)),
    } as never,
  });

  async fetch(request: FileRequest = ZIP): Promise<FileOutcome> {
    return await this.fetches.fetch(PUBLIC_SCOPE, request, (work) => void this.deferred.push(work));
  }

  #open(offsetBytes: number): OpenFile | undefined {
    if (this.stored === undefined) return undefined;
    this.opened.push(offsetBytes);
    const body = new Blob([this.stored.subarray(offsetBytes)]).stream();
    return { body, record: recordOf(this.stored), validator: "" };
  }
}

type Writer = WritableStreamDefaultWriter<Uint8Array>;

/** A body that the test feeds, as it comes from the coordinator. */
function fedBody(sizeBytes: number): {
  readonly outcome: FileOutcome;
  readonly writer: Writer;
} {
  const { readable, writable } = new IdentityTransformStream();
  return { outcome: { kind: "stream", sizeBytes, body: readable }, writer: writable.getWriter() };
}

/** The digest of a body, or that it broke off. */
async function readAll(outcome: FileOutcome): Promise<string> {
  if (outcome.kind !== "stream") throw new Error(`no stream but ${outcome.kind}`);
  try {
    return digestOf(new Uint8Array(await new Response(outcome.body).arrayBuffer()));
  } catch {
    return "broken";
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await scheduler.wait(0);
}

describe("SharedFetches", () => {
  it("sends one stream to all who ask while it comes", async ({ expect }) => {
    const world = new World();
    const zip = bytesOf(3 * MEBIBYTE);
    const { outcome, writer } = fedBody(zip.length);
    world.answer = () => Promise.resolve(outcome);
    const early = await Promise.all(Array.from({ length: 5 }, () => world.fetch()));
    const bodies = early.map(readAll);
    await writer.write(zip.subarray(0, MEBIBYTE));
    expect(world.fetches.isUnderWay(PUBLIC_SCOPE, ZIP)).toBe(true);
    const late = readAll(await world.fetch());
    await writer.write(zip.subarray(MEBIBYTE));
    await writer.close();
    for (const body of await Promise.all([...bodies, late])) expect(body).toBe(digestOf(zip));
    expect(world.calls).toEqual([{ stream: true }]);
    await Promise.all(world.deferred);
    expect(world.fetches.isUnderWay(PUBLIC_SCOPE, ZIP)).toBe(false);
    expect(world.budget.tryAcquire(48 * MEBIBYTE)).toBeDefined();
  });

  it.for([
    ["the file is not committed", (writer: Writer) => writer.abort(new Error("refused"))],
    ["the stream ends too early", (writer: Writer) => writer.close()],
  ] as const)("breaks every body when %s", async ([, end], { expect }) => {
    const world = new World();
    const { outcome, writer } = fedBody(2 * MEBIBYTE);
    world.answer = () => Promise.resolve(outcome);
    const bodies = (await Promise.all([world.fetch(), world.fetch()])).map(readAll);
    await writer.write(bytesOf(MEBIBYTE));
    await end(writer);
    expect(await Promise.all(bodies)).toEqual(["broken", "broken"]);
    await Promise.all(world.deferred);
    expect(world.fetches.isUnderWay(PUBLIC_SCOPE, ZIP)).toBe(false);
  });

  it("gives one copy of a small zip to the first, and the stored file to the others", async ({
    expect,
  }) => {
    const world = new World();
    const body = bytesOf(1000);
    const record = recordOf(body);
    world.answer = () => Promise.resolve({ kind: "bytes", record, body });
    const kinds = await Promise.all([world.fetch(), world.fetch(), world.fetch()]);
    expect(kinds.map(({ kind }) => kind)).toEqual(["bytes", "stored", "stored"]);
    const mods = await Promise.all([world.fetch(MOD), world.fetch(MOD)]);
    expect(mods.map(({ kind }) => kind)).toEqual(["bytes", "bytes"]);
    expect(world.calls).toHaveLength(2);
  });

  it("lets the others ask for themselves after an outage, but not after a refusal", async ({
    expect,
  }) => {
    const world = new World();
    const down = { code: "upstream_unavailable", publicDetail: "down" } as const;
    world.answer = ({ stream }) =>
      Promise.resolve(
        stream
          ? { kind: "failed", error: down }
          : { kind: "stored", record: recordOf(new Uint8Array()) },
      );
    const kinds = (await Promise.all([world.fetch(), world.fetch()])).map(({ kind }) => kind);
    expect(kinds).toEqual(["failed", "stored"]);
    const refusal = { code: "checksum_mismatch", publicDetail: "no" } as const;
    world.answer = () => Promise.resolve({ kind: "failed", error: refusal });
    const refused = (await Promise.all([world.fetch(), world.fetch()])).map(({ kind }) => kind);
    expect(refused).toEqual(["failed", "failed"]);
    expect(world.calls.map(({ stream }) => stream)).toEqual([true, false, true]);
  });

  it("lets the others ask for themselves when the first one's call is lost", async ({ expect }) => {
    const world = new World();
    world.answer = ({ stream }) =>
      stream
        ? Promise.reject(new ProxyError("unavailable", "moved"))
        : Promise.resolve({ kind: "stored", record: recordOf(new Uint8Array()) });
    const [first, second] = await Promise.allSettled([world.fetch(), world.fetch()]);
    expect(first.status).toBe("rejected");
    expect(second).toMatchObject({ status: "fulfilled", value: { kind: "stored" } });
  });

  it("lets who has waited 8 seconds ask for himself, and says so", async ({ expect }) => {
    const world = new World();
    const never = Promise.withResolvers<FileOutcome>();
    world.answer = ({ stream }) =>
      stream
        ? never.promise
        : Promise.resolve({ kind: "stored", record: recordOf(new Uint8Array()) });
    void world.fetch();
    const second = world.fetch();
    await settle();
    world.clock.advance(8000);
    expect((await second).kind).toBe("stored");
    expect(world.calls).toEqual([{ stream: true }, { stream: false, waitedMs: 8000 }]);
  });

  it("shares no body for which there is no memory, or whose length nobody knows", async ({
    expect,
  }) => {
    for (const sizeBytes of [2 * MEBIBYTE, undefined]) {
      const world = new World();
      if (sizeBytes !== undefined) world.budget.tryAcquire(47 * MEBIBYTE);
      const zip = bytesOf(2 * MEBIBYTE);
      world.answer = ({ stream }) =>
        Promise.resolve(
          stream
            ? { kind: "stream", sizeBytes, body: new Blob([zip]).stream() }
            : { kind: "stored", record: recordOf(zip) },
        );
      const [first, second] = await Promise.all([world.fetch(), world.fetch()]);
      expect(await readAll(first)).toBe(digestOf(zip));
      expect(second.kind).toBe("stored");
    }
  });

  it("gives a slow client the rest from storage, once the file is committed", async ({
    expect,
  }) => {
    const world = new World();
    const zip = bytesOf(12 * MEBIBYTE);
    const { outcome, writer } = fedBody(zip.length);
    world.answer = () => Promise.resolve(outcome);
    const [first, slow] = await Promise.all([world.fetch(), world.fetch()]);
    const quick = readAll(first);
    await writer.write(zip);
    world.stored = zip;
    await writer.close();
    expect(await quick).toBe(digestOf(zip));
    await Promise.all(world.deferred);
    world.opened.length = 0;
    expect(await readAll(slow)).toBe(digestOf(zip));
    expect(world.opened).toHaveLength(1);
    expect(world.opened[0]).toBeGreaterThan(0);
  });

  it("gives the rest of the committed file to those whose first one was cut off", async ({
    expect,
  }) => {
    const world = new World();
    const zip = bytesOf(3 * MEBIBYTE);
    const { outcome, writer } = fedBody(zip.length);
    world.answer = ({ stream }) =>
      Promise.resolve(stream ? outcome : { kind: "stored", record: recordOf(zip) });
    const bodies = (await Promise.all([world.fetch(), world.fetch()])).map(readAll);
    await writer.write(zip.subarray(0, MEBIBYTE));
    await settle();
    world.stored = zip;
    world.clock.advance(10_000);
    for (const body of await Promise.all(bodies)) expect(body).toBe(digestOf(zip));
    expect(world.calls.slice(1)).toEqual([{ stream: false }, { stream: false }]);
  });

  it("breaks the body off when another file than the one begun was committed", async ({
    expect,
  }) => {
    const zip = bytesOf(3 * MEBIBYTE);
    const other = Uint8Array.from(zip);
    other[1000] = 255;
    for (const stored of [other, bytesOf(3 * MEBIBYTE + 1)]) {
      const world = new World();
      const { outcome, writer } = fedBody(zip.length);
      world.answer = ({ stream }) =>
        Promise.resolve(stream ? outcome : { kind: "stored", record: recordOf(stored) });
      const body = readAll(await world.fetch());
      await writer.write(zip.subarray(0, MEBIBYTE));
      await settle();
      world.stored = stored;
      world.clock.advance(10_000);
      expect(await body).toBe("broken");
    }
  });

  it("gives back the memory of a fetch that was abandoned", async ({ expect }) => {
    const world = new World();
    const { outcome, writer } = fedBody(10 * MEBIBYTE);
    world.answer = () => Promise.resolve(outcome);
    const first = await world.fetch();
    await writer.write(bytesOf(MEBIBYTE));
    await settle();
    expect(world.budget.tryAcquire(40 * MEBIBYTE)).toBeUndefined();
    world.clock.advance(60_001);
    expect(world.fetches.isUnderWay(PUBLIC_SCOPE, ZIP)).toBe(false);
    world.answer = () => Promise.resolve({ kind: "stored", record: recordOf(new Uint8Array()) });
    await world.fetch(MOD);
    expect(world.budget.tryAcquire(40 * MEBIBYTE)).toBeDefined();
    if (first.kind === "stream") await first.body.cancel();
  });
});
