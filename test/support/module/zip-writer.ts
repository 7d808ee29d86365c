import { crc32, deflateRawSync } from "node:zlib";

/** Header fields that can be made to lie, in the local header, the directory or the descriptor. */
export interface ZipFields {
  readonly name?: Uint8Array | string;
  readonly flags?: number;
  readonly method?: number;
  readonly crc32?: number;
  readonly compressedBytes?: number;
  readonly uncompressedBytes?: number;
  /** Directory only. */
  readonly offset?: number;
  readonly extra?: Uint8Array;
}

/** One entry. By default deflated, with what Go's writer makes of it: a signed descriptor. */
export interface ZipFile {
  readonly name: Uint8Array | string;
  readonly content?: Uint8Array | string;
  readonly method?: number;
  /** Length of the data descriptor: 0 (none), 12 and 20 (unsigned), 16 and 24 (signed). */
  readonly descriptor?: 0 | 12 | 16 | 20 | 24;
  /** Stands in the archive instead of the compressed content. */
  readonly raw?: Uint8Array;
  /** Unix mode; makes the creator Unix. */
  readonly mode?: number;
  /** Overrides for both headers, then for each one. */
  readonly both?: ZipFields;
  readonly local?: ZipFields;
  readonly central?: ZipFields;
  readonly trailer?: ZipFields;
  /** Put behind the entry. */
  readonly gap?: Uint8Array;
}

/** What surrounds the entries. */
export interface ZipFrame {
  readonly before?: Uint8Array;
  /** Lets all offsets count from `before` on, as in an archive that unpacks itself. */
  readonly countBefore?: boolean;
  readonly after?: Uint8Array;
  readonly comment?: Uint8Array | string;
  /** Adds 64-bit end records; `full` leaves the values to them. */
  readonly zip64?: "full" | "repeated";
  /** Overrides of the end record. */
  readonly entries?: number;
  readonly directoryBytes?: number;
  readonly directoryOffset?: number;
  readonly commentBytes?: number;
  readonly disk?: number;
  /** Overrides of the 64-bit end record. */
  readonly entries64?: number;
  readonly directoryOffset64?: number;
  readonly disk64?: number;
  /** Moves the directory order away from the order of the entries. */
  readonly reverseDirectory?: boolean;
}

interface Placed {
  readonly file: ZipFile;
  readonly offset: number;
  readonly fields: Required<Omit<ZipFields, "extra">>;
}

const FULL32 = 0xffff_ffff;

/** Writes an archive, sound or as damaged as it is asked for. */
export function writeZip(files: readonly ZipFile[], frame: ZipFrame = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  const add = (bytes: Uint8Array): void => {
    parts.push(bytes);
    size += bytes.length;
  };
  add(frame.before ?? new Uint8Array(0));
  const base = frame.countBefore === true ? 0 : size;
  const placed = files.map((file): Placed => {
    const offset = size - base;
    const { fields, content } = fieldsOf(file, offset);
    add(localHeader(file, fields));
    add(content);
    add(descriptor(file, fields));
    add(file.gap ?? new Uint8Array(0));
    return { file, offset, fields };
  });
  const directoryOffset = size - base;
  if (frame.reverseDirectory === true) placed.reverse();
  for (const entry of placed) add(centralHeader(entry));
  const counts = { entries: files.length, bytes: size - base - directoryOffset };
  if (frame.zip64 !== undefined) add(end64(frame, counts, directoryOffset, size - base));
  add(endRecord(frame, counts, directoryOffset));
  add(frame.after ?? new Uint8Array(0));
  return concat(parts);
}

/** A writer of little-endian numbers and bytes. */
export function pack(...values: readonly (readonly [number, number] | Uint8Array)[]): Uint8Array {
  return concat(
    values.map((value) => {
      if (value instanceof Uint8Array) return value;
      const [bytes, number] = value;
      return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(number / 256 ** i) & 0xff);
    }),
  );
}

/** The deflated form of a content, for entries that lie about it. */
export function deflate(content: Uint8Array | string): Uint8Array {
  return deflateRawSync(toBytes(content));
}

/** Joins byte strings. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function toBytes(text: Uint8Array | string): Uint8Array {
  return typeof text === "string" ? new TextEncoder().encode(text) : text;
}

function fieldsOf(
  file: ZipFile,
  offset: number,
): { fields: Placed["fields"]; content: Uint8Array } {
  const plain = toBytes(file.content ?? "");
  const isDirectory = typeof file.name === "string" && file.name.endsWith("/");
  const method = file.method ?? (isDirectory ? 0 : 8);
  const content = file.raw ?? (method === 8 ? deflate(plain) : plain);
  const length = file.descriptor ?? (isDirectory ? 0 : 16);
  const name = toBytes(file.name);
  const unicode = name.some((byte) => byte >= 0x80) ? 0x0800 : 0;
  const fields = {
    name,
    flags: unicode | (length > 0 ? 0x0008 : 0),
    method,
    crc32: crc32(plain),
    compressedBytes: content.length,
    uncompressedBytes: plain.length,
    offset,
    ...dropExtra(file.both),
  };
  return { fields, content };
}

function dropExtra(fields: ZipFields | undefined): Omit<ZipFields, "extra"> {
  const { extra: _, ...rest } = fields ?? {};
  return rest;
}

function localHeader(file: ZipFile, fields: Placed["fields"]): Uint8Array {
  const deferred =
    (fields.flags & 8) !== 0 ? { crc32: 0, compressedBytes: 0, uncompressedBytes: 0 } : {};
  const own = { ...fields, ...deferred, ...dropExtra(file.local) };
  const name = toBytes(own.name);
  const extra = file.local?.extra ?? file.both?.extra ?? new Uint8Array(0);
  return pack(
    [4, 0x04034b50],
    [2, 20],
    [2, own.flags],
    [2, own.method],
    [4, 0],
    [4, own.crc32],
    [4, own.compressedBytes],
    [4, own.uncompressedBytes],
    [2, name.length],
    [2, extra.length],
    name,
    extra,
  );
}

function descriptor(file: ZipFile, fields: Placed["fields"]): Uint8Array {
  const length = file.descriptor ?? ((fields.flags & 8) !== 0 ? 16 : 0);
  if (length === 0) return new Uint8Array(0);
  const own = { ...fields, ...dropExtra(file.trailer) };
  const wide = length >= 20 ? 8 : 4;
  const rest = pack([4, own.crc32], [wide, own.compressedBytes], [wide, own.uncompressedBytes]);
  return length % 8 === 0 ? concat([pack([4, 0x08074b50]), rest]) : rest;
}

function centralHeader({ file, fields }: Placed): Uint8Array {
  const own = { ...fields, ...dropExtra(file.central) };
  const name = toBytes(own.name);
  const extra = file.central?.extra ?? file.both?.extra ?? new Uint8Array(0);
  const creator = file.mode === undefined ? 20 : (3 << 8) | 20;
  return pack(
    [4, 0x02014b50],
    [2, creator],
    [2, 20],
    [2, own.flags],
    [2, own.method],
    [4, 0],
    [4, own.crc32],
    [4, own.compressedBytes],
    [4, own.uncompressedBytes],
    [2, name.length],
    [2, extra.length],
    [2, 0],
    [4, 0],
    [4, (file.mode ?? 0) * 0x1_0000],
    [4, own.offset],
    name,
    extra,
  );
}

function end64(
  frame: ZipFrame,
  counts: { entries: number; bytes: number },
  directoryOffset: number,
  at: number,
): Uint8Array {
  const entries = frame.entries64 ?? counts.entries;
  return pack(
    [4, 0x06064b50],
    [8, 44],
    [2, 45],
    [2, 45],
    [4, frame.disk64 ?? 0],
    [4, 0],
    [8, entries],
    [8, entries],
    [8, counts.bytes],
    [8, frame.directoryOffset64 ?? directoryOffset],
    [4, 0x07064b50],
    [4, 0],
    [8, at],
    [4, 1],
  );
}

function endRecord(
  frame: ZipFrame,
  counts: { entries: number; bytes: number },
  directoryOffset: number,
): Uint8Array {
  const full = frame.zip64 === "full";
  const entries = frame.entries ?? (full ? 0xffff : counts.entries);
  const comment = toBytes(frame.comment ?? "");
  return pack(
    [4, 0x06054b50],
    [2, frame.disk ?? 0],
    [2, 0],
    [2, entries],
    [2, entries],
    [4, frame.directoryBytes ?? (full ? FULL32 : counts.bytes)],
    [4, frame.directoryOffset ?? (full ? FULL32 : directoryOffset)],
    [2, frame.commentBytes ?? comment.length],
    comment,
  );
}
