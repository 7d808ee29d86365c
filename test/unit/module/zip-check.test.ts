import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import { describe, it } from "vitest";

import { bytesSource, type ByteSource } from "../../../src/module/byte-window.ts";
import { hash1 } from "../../../src/module/dirhash.ts";
import { type ModuleZip, verifyModuleZip } from "../../../src/module/zip-check.ts";
import { StreamedContents } from "../../../src/module/zip-stream.ts";
import {
  concat,
  deflate,
  pack,
  writeZip,
  type ZipFile,
  type ZipFrame,
} from "../../support/module/zip-writer.ts";

const MODULE = "example.com/m";
const VERSION = "v1.0.0";
const PREFIX = `${MODULE}@${VERSION}/`;
const GO_MOD: ZipFile = { name: `${PREFIX}go.mod`, content: "module example.com/m\n" };
const M_GO: ZipFile = { name: `${PREFIX}m.go`, content: "package m\n" };
const SMALL = [GO_MOD, M_GO];
const SMALL_H1 = "h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg=";
const MIB = 1024 * 1024;
const MAX_CHUNKS = 10_000;

/** The outcome for an archive, which must be the same when it was looked at while it came. */
async function check(
  files: readonly ZipFile[],
  frame: ZipFrame = {},
): Promise<ModuleZip | { problem: string }> {
  const archive = writeZip(files, frame);
  const outcome = await verifyModuleZip(bytesSource(archive), MODULE, VERSION);
  for (const chunkBytes of [1, 29, 4096, archive.length]) {
    if (archive.length / chunkBytes > MAX_CHUNKS) continue;
    const streamed = await streamIn(archive, chunkBytes);
    const again = await verifyModuleZip(bytesSource(archive), MODULE, VERSION, { streamed });
    if (!isDeepStrictEqual(again, outcome)) {
      throw new Error(`${JSON.stringify(again)} in chunks of ${chunkBytes} bytes`);
    }
  }
  return outcome;
}

async function streamIn(archive: Uint8Array, chunkBytes: number): Promise<StreamedContents> {
  const streamed = new StreamedContents();
  for (let at = 0; at < archive.length; at += chunkBytes) {
    await streamed.take(archive.subarray(at, at + chunkBytes));
  }
  streamed.close();
  return streamed;
}

/** Changes the last of two sound files. */
function damaged(change: Partial<ZipFile>): readonly ZipFile[] {
  return [GO_MOD, { ...M_GO, ...change }];
}

/** A source that notes what is read of it. */
function watched(bytes: Uint8Array): { source: ByteSource; lengths: number[] } {
  const lengths: number[] = [];
  const source: ByteSource = {
    sizeBytes: bytes.length,
    read: async (offsetBytes, lengthBytes) => {
      lengths.push(lengthBytes);
      return bytes.slice(offsetBytes, offsetBytes + lengthBytes);
    },
  };
  return { source, lengths };
}

/** Bytes that deflate cannot shrink. */
function noise(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

function zip64Extra(...values: readonly number[]): Uint8Array {
  const field = pack(...values.map((value) => [8, value] as const));
  return concat([pack([2, 1], [2, field.length]), field]);
}

describe("verifyModuleZip() accepts", () => {
  it("what Go writes, and gives its hash, go.mod and sizes", async ({ expect }) => {
    expect(await check(SMALL)).toEqual({
      h1: SMALL_H1,
      goMod: new TextEncoder().encode("module example.com/m\n"),
      files: 2,
      uncompressedBytes: 31,
    });
  });

  it.for([
    ["stored entries", { method: 0 }, {}],
    ["entries without a descriptor", { descriptor: 0 }, {}],
    ["an unsigned descriptor", { descriptor: 12 }, {}],
    ["a wide descriptor", { descriptor: 24 }, {}],
    ["a wide unsigned descriptor", { descriptor: 20 }, {}],
    ["a stored entry with a descriptor", { method: 0, descriptor: 16 }, {}],
    ["sizes before the content beside a descriptor", { local: { uncompressedBytes: 10 } }, {}],
    ["Unix modes of files", { mode: 0o100755 }, {}],
    ["an unknown extra field", { both: { extra: pack([2, 0x5455], [2, 1], [1, 0]) } }, {}],
    ["an extra field that is no field", { both: { extra: pack([2, 9], [2, 99]) } }, {}],
    ["the commit comment of git archive", {}, { comment: "4e4a3210bb".repeat(4) }],
    ["64-bit end records", {}, { zip64: "full" }],
    ["64-bit end records that repeat the others", {}, { zip64: "repeated" }],
    ["a directory in another order", {}, { reverseDirectory: true }],
    ["the hint of a compression level", { both: { flags: 0x000e } }, {}],
  ] as const)("%s", async ([, change, frame], { expect }) => {
    expect(await check(damaged(change), frame)).toMatchObject({ h1: SMALL_H1 });
  });

  it("64-bit sizes that stand in for full fields", async ({ expect }) => {
    const full = { uncompressedBytes: 0xffff_ffff, compressedBytes: 0xffff_ffff };
    const extra = zip64Extra(10, deflate("package m\n").length);
    const files = damaged({
      descriptor: 0,
      local: { ...full, extra },
      central: { ...full, extra },
    });
    expect(await check(files)).toMatchObject({ h1: SMALL_H1 });
  });

  it("an archive without files, as the go command does", async ({ expect }) => {
    expect(await check([])).toEqual({
      h1: "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
      goMod: undefined,
      files: 0,
      uncompressedBytes: 0,
    });
  });

  it("directory entries, which change the hash but count as no files", async ({ expect }) => {
    const directory = { name: `${PREFIX}a/` };
    const result = await check([...SMALL, directory, directory, { name: PREFIX }]);
    expect(result).toMatchObject({ files: 2 });
    expect(result).not.toMatchObject({ h1: SMALL_H1 });
  });

  it("file names beyond ASCII", async ({ expect }) => {
    const names = ["é.txt", "a b.txt", "日本.go", ".gitattributes", ".github/w.yml"];
    expect(await check(names.map((name) => ({ name: PREFIX + name })))).toMatchObject({ files: 5 });
  });
});

describe("verifyModuleZip() refuses by the rules of Go", () => {
  it.for([
    ["other/x.go", "lacks prefix"],
    [`${MODULE}@${VERSION}`, "lacks prefix"],
    [`/${PREFIX}x.go`, "lacks prefix"],
    ["example.com/M@v1.0.0/x.go", "lacks prefix"],
    [`${PREFIX}../evil`, "invalid|trailing dot"],
    [`${PREFIX}a/../../evil`, "trailing dot"],
    [`${PREFIX}./x`, "trailing dot"],
    [`${PREFIX}/abs`, "empty path element"],
    [`${PREFIX}a//b`, "empty path element"],
    [`${PREFIX}a\\b`, "invalid character"],
    [`${PREFIX}c:x`, "invalid character"],
    [`${PREFIX}x\0.go`, "invalid character"],
    [`${PREFIX}x\n.go`, "invalid character"],
    [`${PREFIX}x'.go`, "invalid character"],
    [`${PREFIX}t/aux.go`, "reserved name"],
    [`${PREFIX}sub/go.mod`, "not in module root"],
    [`${PREFIX}sub/GO.MOD`, "not in module root"],
    [`${PREFIX}a/../`, "trailing dot"],
  ] as const)("the name %j", async ([name, reason], { expect }) => {
    const result = await check([...SMALL, { name }]);
    expect(result).toMatchObject({ problem: expect.stringMatching(reason) });
  });

  it("a root go.mod with capitals", async ({ expect }) => {
    const result = await check([M_GO, { ...GO_MOD, name: `${PREFIX}Go.mod` }]);
    expect(result).toMatchObject({ problem: expect.stringMatching("lower case") });
  });

  it("a name that is not UTF-8", async ({ expect }) => {
    const name = concat([new TextEncoder().encode(PREFIX), Uint8Array.of(0xff)]);
    expect(await check([{ name }])).toEqual({ problem: "file name that is not UTF-8" });
  });

  it.for([
    ["M.go", "m.go", "letter case"],
    ["a/x.go", "A/y.go", "letter case"],
    ["é.txt", "É.txt", "letter case"],
    ["s.go", "ſ.go", "letter case"],
    ["k.go", "\u212a.go", "letter case"],
    ["ß.go", "ẞ.go", "letter case"],
    ["σ.go", "ς.go", "letter case"],
    ["x", "x/y", "both a file and a directory"],
    ["x/y", "x", "both a file and a directory"],
    ["x/", "x", "both a file and a directory"],
    ["x", "x", "two entries"],
  ] as const)("%s beside %s", async ([first, second, reason], { expect }) => {
    const result = await check([{ name: PREFIX + first }, { name: PREFIX + second }]);
    expect(result).toMatchObject({ problem: expect.stringMatching(reason) });
  });

  it("not the letters i, dotless i and dotted I beside each other", async ({ expect }) => {
    const names = ["i.go", "ı.go", "İ.go"];
    expect(await check(names.map((name) => ({ name: PREFIX + name })))).toMatchObject({ files: 3 });
  });

  it("methods other than store and deflate", async ({ expect }) => {
    const result = await check(damaged({ both: { method: 12 } }));
    expect(result).toEqual({ problem: "unsupported compression method" });
  });

  it.for([
    [MODULE, "v1.0", "not canonical"],
    [MODULE, "v1.0.0+meta", "not canonical"],
    [MODULE, "v2.0.0", "should be v0 or v1"],
    [`${MODULE}/v2`, VERSION, "should be v2"],
    [MODULE, "x", "not a semantic version"],
    ["example", VERSION, "missing dot"],
    ["example.com/other", VERSION, "lacks prefix"],
    [MODULE, "v1.0.1", "lacks prefix"],
  ] as const)(
    "the archive of %s when asked for %s",
    async ([path, version, reason], { expect }) => {
      const result = await verifyModuleZip(bytesSource(writeZip(SMALL)), path, version);
      expect(result).toMatchObject({ problem: expect.stringMatching(reason) });
    },
  );

  it("names no raw control characters or endless names in its reasons", async ({ expect }) => {
    const result = await check([{ name: `\u001b[31m\u202e${"x".repeat(5000)}` }]);
    const problem = "problem" in result ? result.problem : "";
    expect(problem).toMatch(/^[ -~]+$/);
    expect(problem.length).toBeLessThan(250);
  });
});

// Guarantee: whoever reads the stored archive, by the directory or from the front, sees the files
// that were hashed and nothing else.
describe("verifyModuleZip() refuses archives with two readings", () => {
  const frames: readonly (readonly [string, ZipFrame])[] = [
    ["data in front", { before: Uint8Array.of(1) }],
    ["data in front that all offsets count", { before: Uint8Array.of(1), countBefore: true }],
    ["another archive in front", { before: writeZip(SMALL) }],
    ["data behind", { after: Uint8Array.of(0) }],
    ["another archive behind", { after: writeZip(SMALL) }],
    ["an end record in the comment", { comment: writeZip([]) }],
    ["a comment longer than declared", { comment: "abc", commentBytes: 2 }],
    ["a comment shorter than declared", { commentBytes: 1 }],
    ["more entries declared", { entries: 3 }],
    ["fewer entries declared", { entries: 1 }],
    ["entries declared modulo 65,536", { zip64: "full", entries64: 65_538 }],
    ["a shifted directory", { directoryOffset: 1 }],
    ["a shorter directory", { directoryBytes: 1 }],
    ["a second disk", { disk: 1 }],
    ["a 64-bit record with other counts", { zip64: "repeated", entries64: 1 }],
    ["an end record that disagrees with its 64-bit one", { zip64: "repeated", entries: 1 }],
    ["a 64-bit record on another disk", { zip64: "full", disk64: 1 }],
    ["a 64-bit record with another offset", { zip64: "full", directoryOffset64: 0 }],
    ["an absurd 64-bit count", { zip64: "full", entries64: 2 ** 52 }],
  ];
  it.for(frames)("%s", async ([, frame], { expect }) => {
    expect(await check(SMALL, frame)).toMatchObject({ problem: expect.any(String) });
  });

  it("an end record hidden in the last entry's name, whose comment spans the real one", async ({
    expect,
  }) => {
    const hidden = (commentBytes: number): ZipFile => ({
      ...M_GO,
      central: {
        extra: concat([
          pack([2, 0x9999], [2, 22]),
          pack([4, 0x06054b50], [8, 0], [8, 0], [2, commentBytes]),
        ]),
      },
    });
    expect(await check([GO_MOD, hidden(22)])).toEqual({ problem: "two end records" });
    expect(await check([GO_MOD, hidden(0)])).toMatchObject({ h1: SMALL_H1 });
  });

  const changes: readonly (readonly [string, Partial<ZipFile>])[] = [
    ["another local name", { local: { name: `${PREFIX}n.go` } }],
    ["a longer local name", { local: { name: `${PREFIX}m.go2` } }],
    ["another local method", { local: { method: 0 } }],
    ["other local flags", { local: { flags: 0 } }],
    ["another local size", { local: { uncompressedBytes: 11 } }],
    ["another local compressed size", { local: { compressedBytes: 1 } }],
    ["another local CRC", { local: { crc32: 1 } }],
    [
      "local sizes of zero without a descriptor",
      { descriptor: 0, local: { uncompressedBytes: 0 } },
    ],
    ["another size in the directory", { central: { uncompressedBytes: 11 } }],
    ["a smaller size in the directory", { central: { uncompressedBytes: 9 } }],
    ["another compressed size in the directory", { central: { compressedBytes: 11 } }],
    ["a size above the true one everywhere", { both: { uncompressedBytes: 11 } }],
    ["a size below the true one everywhere", { both: { uncompressedBytes: 9 } }],
    ["another CRC in the directory", { central: { crc32: 1 } }],
    ["a CRC of zero everywhere", { descriptor: 0, both: { crc32: 0 } }],
    ["a descriptor with another CRC", { trailer: { crc32: 1 } }],
    ["a descriptor with another size", { trailer: { uncompressedBytes: 1 } }],
    ["a descriptor with another compressed size", { trailer: { compressedBytes: 1 } }],
    ["a descriptor that is missing", { descriptor: 0, both: { flags: 8 } }],
    ["a descriptor that is not announced", { descriptor: 16, both: { flags: 0 } }],
    ["data behind an entry", { gap: Uint8Array.of(0) }],
    ["an entry's worth of data behind an entry", { gap: writeZip([M_GO]).subarray(0, 80) }],
    ["an entry in the place of another", { central: { offset: 0 } }],
    ["an entry that overlaps another", { central: { offset: 4 } }],
    ["an entry behind the directory", { central: { offset: 5000 } }],
    ["encryption", { both: { flags: 9 } }],
    ["strong encryption", { both: { flags: 0x48 } }],
    ["a masked header", { both: { flags: 0x2008 } }],
    [
      "bytes behind the compressed data",
      { raw: concat([deflate("package m\n"), Uint8Array.of(0)]) },
    ],
    ["compressed data cut short", { raw: deflate("package m\n").subarray(0, -1) }],
    ["content of another entry", { raw: deflate("package x\n") }],
    ["compressed data that is none", { raw: Uint8Array.of(7, 7, 7) }],
    ["stored content with two sizes", { method: 0, both: { uncompressedBytes: 9 } }],
    ["a symbolic link", { mode: 0o120777 }],
    ["a device", { mode: 0o020666 }],
    ["a directory that is called like a file", { mode: 0o040755 }],
    ["64-bit sizes that are missing", { central: { compressedBytes: 0xffff_ffff } }],
    ["64-bit sizes that contradict", { central: { extra: zip64Extra(11, 12) } }],
    [
      "another name in an extra field",
      { central: { extra: pack([2, 0x7075], [2, 6], [1, 1], [4, 0], [1, 0x78]) } },
    ],
  ];
  it.for(changes)("%s", async ([, change], { expect }) => {
    expect(await check(damaged(change))).toMatchObject({ problem: expect.any(String) });
  });

  it("a directory with content", async ({ expect }) => {
    const result = await check([...SMALL, { name: `${PREFIX}a/`, content: "x" }]);
    expect(result).toMatchObject({ problem: expect.stringMatching("directory with content") });
  });

  it("an archive cut at any byte", async ({ expect }) => {
    const whole = writeZip(SMALL);
    for (let length = 0; length < whole.length; length++) {
      const cut = bytesSource(whole.subarray(0, length));
      expect(await verifyModuleZip(cut, MODULE, VERSION)).toHaveProperty("problem");
    }
  });

  it("an archive with any one bit of content turned", async ({ expect }) => {
    const whole = writeZip([{ ...M_GO, method: 0, descriptor: 0 }]);
    const contentAt = 30 + PREFIX.length + "m.go".length;
    for (let bit = 0; bit < 80; bit++) {
      const turned = whole.slice();
      turned[contentAt + (bit >> 3)] = (turned[contentAt + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
      const result = await verifyModuleZip(bytesSource(turned), MODULE, VERSION);
      expect(result).toMatchObject({ problem: expect.stringMatching("CRC") });
    }
  });
});

// Guarantee: no archive makes this proxy work or remember more than its declared, bounded sizes.
describe("verifyModuleZip() refuses bombs early", () => {
  it.for([
    ["more than 500 MiB together", "big.bin", 500 * MIB + 1, "500 MiB"],
    ["a go.mod above 16 MiB", "go.mod", 16 * MIB + 1, "16 MiB"],
    ["a LICENSE above 16 MiB", "LICENSE", 16 * MIB + 1, "16 MiB"],
  ] as const)("by declared size: %s", async ([, name, uncompressedBytes, reason], { expect }) => {
    const { source, lengths } = watched(
      writeZip([{ name: PREFIX + name, content: "x", central: { uncompressedBytes } }]),
    );
    const result = await verifyModuleZip(source, MODULE, VERSION);
    expect(result).toMatchObject({ problem: expect.stringMatching(reason) });
    expect(lengths).toHaveLength(1);
  });

  it("by size of the archive, without reading it", async ({ expect }) => {
    const source: ByteSource = {
      sizeBytes: 500 * MIB + 1,
      read: () => {
        throw new Error("read");
      },
    };
    const result = await verifyModuleZip(source, MODULE, VERSION);
    expect(result).toEqual({ problem: "zip is larger than 500 MiB" });
  });

  it.for([
    ["at once", 100],
    ["as a stream", 20 * MIB],
  ] as const)(
    "that grow beyond the declared size, %s",
    async ([, uncompressedBytes], { expect }) => {
      const before = process.memoryUsage().rss;
      const started = process.cpuUsage();
      const raw = deflate(new Uint8Array(200 * MIB));
      const written = process.cpuUsage(started);
      const result = await check([{ ...M_GO, descriptor: 0, both: { uncompressedBytes }, raw }]);
      const spent = process.cpuUsage(started);
      expect(result).toMatchObject({ problem: expect.stringMatching("larger than declared") });
      expect(spent.user - written.user).toBeLessThan(2_000_000);
      // 200 MiB went into making it.
      expect(process.memoryUsage().rss - before).toBeLessThan(264 * MIB);
    },
  );

  it("65,536 tiny files cost little", { timeout: 60_000 }, async ({ expect }) => {
    const files = Array.from({ length: 65_536 }, (_, i): ZipFile => {
      return { name: `${PREFIX}${i}`, content: "x", method: i % 2 === 0 ? 0 : 8 };
    });
    const archive = writeZip(files, { zip64: "full" });
    const started = process.cpuUsage();
    const result = await verifyModuleZip(bytesSource(archive), MODULE, VERSION);
    expect(result).toMatchObject({ files: 65_536 });
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
  });

  it("with more entries than memory can hold", async ({ expect }) => {
    const result = await check(SMALL, { zip64: "full", entries64: 200_001 });
    expect(result).toEqual({ problem: "more than 200000 entries" });
  });
});

describe("verifyModuleZip() and large archives", () => {
  const large = noise(9 * MIB);
  const flat = new Uint8Array(17 * MIB);
  const files: readonly ZipFile[] = [
    GO_MOD,
    { name: `${PREFIX}deflated.bin`, content: large },
    { name: `${PREFIX}flat.bin`, content: flat },
    { name: `${PREFIX}stored.bin`, content: large, method: 0 },
    { name: `${PREFIX}half.bin`, content: large.subarray(0, 3 * MIB) },
    M_GO,
  ];
  const archive = writeZip(files);
  const wanted = hash1(
    files.map(({ name, content = "" }) => ({
      name: String(name),
      sha256: createHash("sha256").update(content).digest(),
    })),
  );

  it("hashes them in reads of at most 4 MiB", async ({ expect }) => {
    const { source, lengths } = watched(archive);
    expect(await verifyModuleZip(source, MODULE, VERSION)).toMatchObject({ h1: wanted });
    expect(Math.max(...lengths)).toBeLessThanOrEqual(4 * MIB);
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBeLessThan(1.6 * archive.length);
  });

  it("gives way to other work at least once for each MiB", async ({ expect }) => {
    let pauses = 0;
    const yieldNow = async (): Promise<void> => {
      pauses++;
    };
    await verifyModuleZip(bytesSource(archive), MODULE, VERSION, { yieldNow });
    expect(pauses).toBeGreaterThanOrEqual(38);
  });

  it("gives way while it reads the names of many entries", async ({ expect }) => {
    const many = Array.from({ length: 2000 }, (_, i): ZipFile => ({ name: `${PREFIX}${i}/` }));
    let pauses = 0;
    const yieldNow = async (): Promise<void> => {
      pauses++;
    };
    await verifyModuleZip(bytesSource(writeZip(many)), MODULE, VERSION, { yieldNow });
    expect(pauses).toBeGreaterThan(20);
  });

  it("lets a failure to give way through", async ({ expect }) => {
    const yieldNow = (): Promise<void> => Promise.reject(new Error("stopped"));
    const result = verifyModuleZip(bytesSource(archive), MODULE, VERSION, { yieldNow });
    await expect(result).rejects.toThrow("stopped");
  });

  it("refuses bytes behind the compressed data of a streamed entry", async ({ expect }) => {
    const raw = concat([deflate(large), Uint8Array.of(0)]);
    const result = await check([{ ...M_GO, content: large, raw }]);
    expect(result).toMatchObject({ problem: expect.stringMatching("malformed compressed data") });
  });

  it("refuses a streamed entry that is cut short", async ({ expect }) => {
    const raw = deflate(large).subarray(0, -5);
    const result = await check([{ ...M_GO, content: large, raw }]);
    expect(result).toMatchObject({ problem: expect.stringMatching("malformed compressed data") });
  });

  it("lets failures of the storage through, in the midst of a stream too", async ({ expect }) => {
    const failing: ByteSource = {
      sizeBytes: archive.length,
      read: async (offsetBytes, lengthBytes) => {
        if (offsetBytes > 4 * MIB && offsetBytes < 9 * MIB) throw new Error("storage is down");
        return archive.subarray(offsetBytes, offsetBytes + lengthBytes);
      },
    };
    await expect(verifyModuleZip(failing, MODULE, VERSION)).rejects.toThrow("storage is down");
  });

  it("refuses a source that ends before its declared size", async ({ expect }) => {
    const { sizeBytes } = bytesSource(archive);
    const source: ByteSource = { sizeBytes, read: () => new Uint8Array(10) };
    expect(await verifyModuleZip(source, MODULE, VERSION)).toHaveProperty("problem");
  });
});
