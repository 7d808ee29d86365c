import { ProxyError } from "../errors/proxy-error.ts";
import { HASH_SIZE, MAX_LOOKUP_BYTES, MAX_TREE_SIZE } from "./constants.ts";
import { decodeUtf8, encodeUtf8, toBase64, tryFromBase64 } from "./encoding.ts";
import type { TreeHead } from "./tlog.ts";

const TREE_NOTE_FIRST_LINE = "go.sum database tree";

/** A record and its number in the log. */
export interface LogRecord {
  readonly id: number;
  /** go.sum lines of one module version, each with its newline. */
  readonly text: string;
}

/** A lookup answer taken apart; nothing in it is verified. */
export interface LookupAnswer extends LogRecord {
  /** The whole signed tree head that came with it. */
  readonly note: string;
}

/** The two hashes of a module version, each as `h1:` with base64. */
export interface RecordHashes {
  readonly zip: string;
  readonly mod: string;
}

/**
 * Take a lookup answer apart: id, record text up to the first blank line, signed tree head.
 *
 * The text ends where the hashed record ends. Nothing behind that blank line may ever count as a
 * line of the record (CVE-2026-56864).
 *
 * @param body - as received, unverified.
 * @throws {ProxyError} sumdb_invalid - malformed.
 * @source tlog.ParseRecord
 */
export function parseLookupAnswer(body: Uint8Array): LookupAnswer {
  if (body.length > MAX_LOOKUP_BYTES) throw malformed("lookup answer is too long");
  const message = decodeUtf8(body, "lookup answer");
  const idEnd = message.indexOf("\n");
  const textEnd = message.indexOf("\n\n", idEnd + 1);
  const id = tryParseCount(message.slice(0, Math.max(idEnd, 0)));
  if (id === undefined || textEnd < 0) throw malformed("lookup answer has no record");
  const text = message.slice(idEnd + 1, textEnd + 1);
  if (!isRecordText(text)) throw malformed("record text");
  return { id, text, note: message.slice(textEnd + 2) };
}

/**
 * Bytes of a lookup answer.
 *
 * @param note - a signed tree head of more than `id` records.
 * @throws {TypeError} the text cannot be a record's.
 * @source tlog.FormatRecord
 */
export function formatLookupAnswer({ id, text }: LogRecord, note: string): Uint8Array {
  if (!isRecordText(text)) throw new TypeError("malformed record text");
  return encodeUtf8(`${id}\n${text}\n${note}`);
}

/**
 * Take a data tile apart.
 *
 * @param bytes - records one after the other, each followed by a blank line; unverified.
 * @throws {ProxyError} sumdb_invalid - malformed.
 * @source tlog.FormatRecord (content of data tiles)
 */
export function parseDataTile(bytes: Uint8Array): string[] {
  const content = decodeUtf8(bytes, "data tile");
  if (!content.endsWith("\n\n")) throw malformed("data tile");
  const texts = content
    .slice(0, -2)
    .split("\n\n")
    .map((text) => `${text}\n`);
  if (!texts.every(isRecordText)) throw malformed("data tile");
  return texts;
}

/** Content of a data tile: the inverse of {@link parseDataTile}. */
export function formatDataTile(texts: readonly string[]): Uint8Array {
  return encodeUtf8(texts.map((text) => `${text}\n`).join(""));
}

/** Whether a text can be a record: no control character, no blank line. @source tlog.isValidRecordText */
export function isRecordText(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  const hasControlCharacter = /[\u0000-\u0009\u000b-\u001f]/.test(text);
  return text.endsWith("\n") && !`\n${text}`.includes("\n\n") && !hasControlCharacter;
}

/**
 * Text of the record of a module version.
 *
 * @param zipHash - `h1:` of the module zip.
 * @param modHash - `h1:` of its go.mod.
 * @throws {TypeError} a hash is not an `h1:` hash, or the result is no record.
 * @source cmd/go go.sum format
 */
export function recordText(
  modulePath: string,
  version: string,
  { zip, mod }: RecordHashes,
): string {
  if (/\s/.test(modulePath + version) || !isH1(zip) || !isH1(mod)) {
    throw new TypeError(`no record can be made of ${modulePath}@${version}`);
  }
  const text = `${modulePath} ${version} ${zip}\n${modulePath} ${version}/go.mod ${mod}\n`;
  if (!isRecordText(text)) throw new TypeError("malformed record text");
  return text;
}

/**
 * The hashes of a module version in the text of its record.
 *
 * A record with no line for the module proves nothing about it and must not pass
 * (CVE-2026-42501). So each of the two lines has to be there exactly once, and no line may be about
 * anything else.
 *
 * @param text - the record's text alone, never the whole answer.
 * @throws {ProxyError} sumdb_invalid - a line is missing, double, or about something else.
 * @source cmd/go/internal/modfetch checkSumDB
 */
export function findHashLines(text: string, modulePath: string, version: string): RecordHashes {
  const found: { zip: string[]; mod: string[] } = { zip: [], mod: [] };
  for (const line of text.split("\n").slice(0, -1)) {
    const [path, lineVersion, hash = "", ...rest] = line.split(" ");
    const isMod = lineVersion === `${version}/go.mod`;
    if (path !== modulePath || !(isMod || lineVersion === version) || rest.length > 0) {
      throw badRecord(modulePath, version, "has a line about something else");
    }
    // A hash of a later algorithm is none of ours to judge.
    if (!hash.startsWith("h1:")) continue;
    if (!isH1(hash)) throw badRecord(modulePath, version, "has a malformed h1: hash");
    (isMod ? found.mod : found.zip).push(hash);
  }
  return {
    zip: theOnly(found.zip, () => badRecord(modulePath, version, "must have one h1: line")),
    mod: theOnly(found.mod, () => badRecord(modulePath, version, "must have one go.mod h1: line")),
  };
}

/**
 * Read the text of a tree head; further lines are left for later versions of the format.
 *
 * @param text - of a note whose signature was checked.
 * @throws {ProxyError} sumdb_invalid - malformed.
 * @source tlog.ParseTree
 */
export function parseTreeHead(text: string): TreeHead {
  const [first, sizeText = "", rootText = "", ...rest] = text.split("\n");
  const size = tryParseCount(sizeText);
  const root = tryFromBase64(rootText);
  const isHead = first === TREE_NOTE_FIRST_LINE && rest.length > 0;
  if (!isHead || size === undefined || root?.length !== HASH_SIZE) throw malformed("tree head");
  return { size, root };
}

/** Text of a tree head, to be signed. @source tlog.FormatTree */
export function formatTreeHead({ size, root }: TreeHead): string {
  return `${TREE_NOTE_FIRST_LINE}\n${size}\n${toBase64(root)}\n`;
}

function isH1(hash: string): boolean {
  return hash.startsWith("h1:") && tryFromBase64(hash.slice(3))?.length === HASH_SIZE;
}

function theOnly(hashes: readonly string[], problem: () => ProxyError): string {
  const [hash] = hashes;
  if (hash === undefined || hashes.length !== 1) throw problem();
  return hash;
}

/** A decimal number without sign and leading zeros, of a record or of a tree's size. */
function tryParseCount(text: string): number | undefined {
  if (!/^(?:0|[1-9]\d{0,15})$/.test(text)) return undefined;
  const count = Number(text);
  return count <= MAX_TREE_SIZE ? count : undefined;
}

function badRecord(modulePath: string, version: string, problem: string): ProxyError {
  const detail = `record of ${modulePath}@${version} ${problem}`;
  return new ProxyError("sumdb_invalid", detail);
}

function malformed(what: string): ProxyError {
  return new ProxyError("sumdb_invalid", `malformed ${what}`);
}
