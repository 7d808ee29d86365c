import {
  deflate,
  pack,
  writeZip,
  type ZipFile,
  type ZipFrame,
} from "../support/module/zip-writer.ts";
import type { OracleCase } from "./cases.ts";
import type { Random } from "./random.ts";

const MODULE = "example.com/m";
const VERSION = "v1.0.0";
const PREFIX = `${MODULE}@${VERSION}/`;
const NAMES = [
  "go.mod",
  "m.go",
  "LICENSE",
  "a/b.go",
  "a/c.go",
  "A/d.go",
  "M.go",
  "sub/go.mod",
  "GO.MOD",
  "b/Go.Mod",
  "go.mod/x",
  "a",
  "a/",
  "a/b/",
  "é.txt",
  "É.txt",
  "ſ.go",
  "S.go",
  "日本.go",
  "a b.txt",
  "t/aux.go",
  "a:b",
  "q?",
  "../evil",
  "./x",
  "a//b",
  "/abs",
  "x\\y",
  "nul\0",
  "-x",
  "x.",
  "…",
  "",
  ".github/w.yml",
  "İ.go",
  "i.go",
  "ı.go",
  "I.go",
  "ß.go",
  "ẞ.go",
];

interface Damage {
  readonly files?: (files: readonly ZipFile[]) => readonly ZipFile[];
  readonly frame?: ZipFrame;
}

const onLast =
  (change: (file: ZipFile) => ZipFile) =>
  (files: readonly ZipFile[]): readonly ZipFile[] =>
    files.map((file, index) => (index === files.length - 1 ? change(file) : file));
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Ways to be wrong or ambiguous. Go accepts some of them; we refuse all. */
const DAMAGES: readonly Damage[] = [
  { frame: { before: bytes(1, 2, 3) } },
  { frame: { after: bytes(0) } },
  { frame: { comment: "x", commentBytes: 0 } },
  { frame: { commentBytes: 7 } },
  { frame: { entries: 77 } },
  { frame: { directoryOffset: 3 } },
  { frame: { directoryBytes: 3 } },
  { frame: { disk: 1 } },
  { frame: { zip64: "repeated", entries64: 99 } },
  { frame: { zip64: "full", directoryOffset64: 1 } },
  { frame: { comment: writeZip([]) } },
  { files: onLast((file) => ({ ...file, gap: bytes(1, 2, 3, 4) })) },
  { files: onLast((file) => ({ ...file, local: { name: `${PREFIX}other.go` } })) },
  { files: onLast((file) => ({ ...file, local: { method: 12 } })) },
  { files: onLast((file) => ({ ...file, local: { flags: 0 } })) },
  { files: onLast((file) => ({ ...file, local: { uncompressedBytes: 3 } })) },
  { files: onLast((file) => ({ ...file, both: { method: 12 } })) },
  { files: onLast((file) => ({ ...file, both: { flags: 9 } })) },
  { files: onLast((file) => ({ ...file, central: { crc32: 1 } })) },
  { files: onLast((file) => ({ ...file, central: { uncompressedBytes: 2 } })) },
  { files: onLast((file) => ({ ...file, central: { uncompressedBytes: 600_000_000 } })) },
  { files: onLast((file) => ({ ...file, central: { compressedBytes: 1 } })) },
  { files: onLast((file) => ({ ...file, central: { offset: 1 } })) },
  { files: onLast((file) => ({ ...file, trailer: { crc32: 1 } })) },
  { files: onLast((file) => ({ ...file, trailer: { uncompressedBytes: 1 } })) },
  { files: onLast((file) => ({ ...file, raw: deflate("other content") })) },
  { files: onLast((file) => ({ ...file, raw: bytes(7, 7, 7) })) },
  { files: onLast((file) => ({ ...file, mode: 0o120777 })) },
  {
    files: onLast((file) => ({
      ...file,
      name: new Uint8Array([...new TextEncoder().encode(PREFIX), 0xff]),
    })),
  },
  { files: onLast((file) => ({ ...file, central: { extra: pack([2, 1], [2, 8], [8, 12_345]) } })) },
];

/** Frames of sound archives. */
const FRAMES: readonly ZipFrame[] = [
  {},
  {},
  { comment: "4e4a3210bb4e4a3210bb4e4a3210bb4e4a3210bb" },
  { zip64: "full" },
  { zip64: "repeated" },
  { reverseDirectory: true },
];

/** A small archive: sound in its form, or with one damage. */
export function zipQuestion(random: Random): OracleCase {
  const sound = [
    "go.mod",
    "m.go",
    "LICENSE",
    "a/b.go",
    "a/c.go",
    "é.txt",
    ".github/w.yml",
    "a/",
    "z.go",
  ];
  const from = random.oneIn(2) ? sound : NAMES;
  const names = Array.from({ length: random.below(5) }, () => random.pick(from));
  const distinct = random.oneIn(10) ? names : [...new Set(names)];
  const files = distinct.map((name): ZipFile => {
    const file = { name: (random.oneIn(40) ? "other/" : PREFIX) + name };
    if (name.endsWith("/") || name === "") return file;
    return {
      ...file,
      content: `content of ${name}\n`.repeat(random.below(4)),
      method: random.oneIn(3) ? 0 : 8,
      descriptor: random.pick([0, 16, 16, 16, 12, 24, 20] as const),
      ...(random.oneIn(5) ? { mode: 0o100644 } : {}),
    };
  });
  const version = random.oneIn(25) ? random.pick(["v1", "v2.0.0", "v1.0.0+meta", "x"]) : VERSION;
  const damage = random.oneIn(3) ? random.pick(DAMAGES) : undefined;
  const damaged = damage?.files?.(files) ?? files;
  const archive = writeZip(damaged, damage?.frame ?? random.pick(FRAMES));
  const question = ["zip", MODULE, version, Buffer.from(archive).toString("base64")] as const;
  return damage === undefined ? { question } : { question, mayBeStricter: true };
}
