// Guarantee: looking at an archive while it comes changes no outcome and saves most of the work, and
// never does more of it than what came in is worth.

import { createHash } from "node:crypto";
import { crc32, deflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, it } from "vitest";

import { bytesSource } from "../../../src/module/byte-window.ts";
import { verifyModuleZip } from "../../../src/module/zip-check.ts";
import { StreamedContents } from "../../../src/module/zip-stream.ts";
import { writeZip, type ZipFile } from "../../support/module/zip-writer.ts";

const MODULE = "example.com/m";
const VERSION = "v1.0.0";
const PREFIX = `${MODULE}@${VERSION}/`;
const HEADER_BYTES = 30;
const DESCRIPTOR_BYTES = 16;
const MIB = 1024 * 1024;

/** Where the contents of entries written one after the other lie. */
function placesOf(
  files: readonly ZipFile[],
): { readonly offset: number; readonly file: ZipFile }[] {
  let at = 0;
  return files.map((file) => {
    const offset = at + HEADER_BYTES + String(file.name).length;
    at = offset + deflateRawSync(file.content ?? "").length + DESCRIPTOR_BYTES;
    return { offset, file };
  });
}

async function streamIn(
  archive: Uint8Array,
  sizes: readonly number[],
  yieldNow?: () => Promise<void>,
): Promise<StreamedContents> {
  const streamed = new StreamedContents(yieldNow);
  let at = 0;
  for (let turn = 0; at < archive.length; turn++) {
    const end = at + (sizes[turn % sizes.length] ?? archive.length);
    await streamed.take(archive.subarray(at, end));
    at = end;
  }
  streamed.close();
  return streamed;
}

const someFiles = fc
  .uniqueArray(fc.stringMatching(/^[a-z]{1,9}$/), { minLength: 1, maxLength: 8 })
  .chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc
          .uint8Array({ maxLength: 700 })
          .map((content): ZipFile => ({ name: `${PREFIX}${name}.go`, content })),
      ),
    ),
  );
const chunkSizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 6 });

describe("StreamedContents", () => {
  it("finds every content, however the archive is cut", async ({ expect }) => {
    const property = fc.asyncProperty(someFiles, chunkSizes, async (files, sizes) => {
      const streamed = await streamIn(writeZip(files), sizes);
      for (const { offset, file } of placesOf(files)) {
        const content = Buffer.from(file.content ?? "");
        expect(streamed.find(offset)).toEqual({
          compressedBytes: deflateRawSync(content).length,
          uncompressedBytes: content.length,
          crc32: crc32(content),
          sha256: createHash("sha256").update(content).digest("hex"),
        });
      }
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it("changes nothing about the outcome when any byte of the archive is changed", async ({
    expect,
  }) => {
    const property = fc.asyncProperty(
      someFiles,
      chunkSizes,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      async (files, sizes, place, change) => {
        const archive = writeZip(files);
        const at = place % archive.length;
        archive[at] = (archive[at] ?? 0) ^ change;
        const streamed = await streamIn(archive, sizes);
        const source = bytesSource(archive);
        const outcome = await verifyModuleZip(source, MODULE, VERSION);
        expect(await verifyModuleZip(source, MODULE, VERSION, { streamed })).toEqual(outcome);
      },
    );
    await fc.assert(property, { numRuns: 500 });
  });

  it("goes on behind content that is stored as it is", async ({ expect }) => {
    const stored: ZipFile = {
      name: `${PREFIX}a.bin`,
      content: new Uint8Array(5000),
      method: 0,
      descriptor: 0,
    };
    const next: ZipFile = { name: `${PREFIX}b.go`, content: "package m\n" };
    const streamed = await streamIn(writeZip([stored, next]), [777]);
    const offset = 2 * HEADER_BYTES + 2 * next.name.length + 1 + 5000;
    expect(streamed.find(offset)).toMatchObject({ uncompressedBytes: 10 });
  });

  it("gives way at least once for each MiB", async ({ expect }) => {
    const content = Buffer.alloc(
      8 * MIB,
      "many words that repeat, but not all of them: 0123456789",
    );
    for (let at = 0; at < content.length; at += 97) content[at] = (at * 31) & 0xff;
    let pauses = 0;
    await streamIn(writeZip([{ name: `${PREFIX}a.go`, content }]), [256 * 1024], async () => {
      pauses++;
    });
    expect(pauses).toBeGreaterThanOrEqual(8);
  });

  it("inflates no more than is in proportion to what came in", async ({ expect }) => {
    const bomb: ZipFile = { name: `${PREFIX}a.bin`, content: new Uint8Array(200 * MIB) };
    const archive = writeZip([bomb]);
    let pauses = 0;
    const streamed = await streamIn(archive, [64 * 1024], async () => {
      pauses++;
    });
    expect(streamed.find(HEADER_BYTES + bomb.name.length)).toBeUndefined();
    // One pause for each MiB: a tenth of what it would become.
    expect(pauses).toBeLessThan(20);
  });
});
