import { createHash } from "node:crypto";

import { compareBytewise } from "./byte-order.ts";

/** One file of a module for {@link hash1}. */
export interface HashedFile {
  /** The name as the zip has it: `path@version/` and the path of the file. */
  readonly name: string;
  /** SHA-256 of the content: 32 bytes, or 64 lower-case hex digits. */
  readonly sha256: Uint8Array | string;
}

/**
 * The `h1:` hash of a set of files: the same for two zips with the same names and contents,
 * whatever their compression, order and times.
 *
 * @param files - In any order.
 * @returns `h1:` and padded base64, or a problem when a name holds a line feed.
 * @source golang.org/x/mod/sumdb/dirhash Hash1.
 */
export function hash1(files: Iterable<HashedFile>): string | { problem: string } {
  const sorted = [...files].toSorted((a, b) => compareBytewise(a.name, b.name));
  const hash = createHash("sha256");
  for (const { name, sha256 } of sorted) {
    if (name.includes("\n")) return { problem: "a file name holds a line feed" };
    const hex = typeof sha256 === "string" ? sha256 : toHex(sha256);
    hash.update(`${hex}  ${name}\n`);
  }
  return `h1:${hash.digest("base64")}`;
}

/**
 * The `h1:` hash that go.sum and the checksum database hold for a go.mod file.
 *
 * @param bytes - The file, byte for byte.
 * @returns `h1:` and padded base64.
 * @source cmd/go modfetch goModSum.
 */
export function goModHash(bytes: Uint8Array): string {
  const content = createHash("sha256").update(bytes).digest("hex");
  const hash = createHash("sha256").update(`${content}  go.mod\n`).digest("base64");
  return `h1:${hash}`;
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
