import { foldCase } from "../module/case-fold.ts";
import { isWritableGoTime, parseGoTime } from "../module/go-time.ts";

/** An `.info` as the go command sees it. */
export interface DecodedInfo {
  /** Empty when the text has none. */
  readonly version: string;
  /** Milliseconds since the epoch; undefined when the text has none. */
  readonly timeMs: number | undefined;
  /** `Origin.Hash`; empty when the text has none. */
  readonly commit: string;
}

// A text whose nesting is deeper is no JSON to Go.
const MAX_DEPTH = 10_000;
/** Of a text that is known to be JSON: its strings, and the marks between its values. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{},:]/g;
const OPENING: ReadonlySet<string> = new Set("[{");
const CLOSING: ReadonlySet<string> = new Set("]}");
const ORIGIN_FIELDS: ReadonlySet<string> = new Set(
  ["VCS", "URL", "Subdir", "Hash", "TagPrefix", "TagSum", "Ref", "RepoSum"].map(foldCase),
);
const HASH = foldCase("Hash");

type MutableInfo = { -readonly [Field in keyof DecodedInfo]: DecodedInfo[Field] } & {
  isTimeWritable: boolean;
};

/** One member of an object, in the order of the text, with those that come twice. */
interface Member {
  /** Folded: Go finds a field whatever the case. */
  readonly name: string;
  /** The value as it was written. */
  readonly raw: string;
}

/**
 * Decode an `.info` as the go command does.
 *
 * A parser of the language would not do: of two members with one name Go takes the last, but a
 * value of the wrong type is an error even where another follows; names ignore case; null changes
 * nothing; and the text of a time is taken as it is written, escapes included.
 *
 * @returns The reason why the go command would refuse the text, or what it finds.
 * @source encoding/json; cmd/go's modfetch/repo.go, RevInfo, and codehost/codehost.go, Origin
 */
export function decodeInfo(text: string): DecodedInfo | { readonly problem: string } {
  if (!isJson(text)) return { problem: "not JSON" };
  const trimmed = text.trim();
  const members = trimmed === "null" ? [] : splitObject(trimmed);
  if (members === undefined) return { problem: "not a JSON object" };
  const info: MutableInfo = { version: "", timeMs: undefined, isTimeWritable: true, commit: "" };
  for (const { name, raw } of members) {
    const problem = decodeMember(info, name, raw);
    if (problem !== undefined) return { problem };
  }
  // The go command writes what it has read into its cache.
  if (!info.isTimeWritable) return { problem: "its Time has an offset of a day" };
  return info;
}

/** @returns What is wrong with a member that the go command reads. */
function decodeMember(info: MutableInfo, name: string, raw: string): string | undefined {
  if (name === "origin") {
    const commit = decodeOrigin(raw, info.commit);
    if (commit === undefined) return "its Origin is none";
    info.commit = commit;
  } else if (name === "version" && raw !== "null") {
    if (!isString(raw)) return "its Version is no text";
    info.version = toText(raw);
  } else if (name === "time" && raw !== "null") {
    info.timeMs = isString(raw) ? parseGoTime(raw.slice(1, -1)) : undefined;
    info.isTimeWritable = isWritableGoTime(raw.slice(1, -1));
    if (info.timeMs === undefined) return "its Time is not RFC 3339";
  }
  return undefined;
}

/**
 * The commit that an origin names; a second origin adds to the first.
 *
 * @returns Undefined for what the go command refuses.
 */
function decodeOrigin(raw: string, before: string): string | undefined {
  if (raw === "null") return "";
  const members = splitObject(raw);
  if (members === undefined) return undefined;
  let commit = before;
  for (const { name, raw: value } of members) {
    if (!ORIGIN_FIELDS.has(name) || value === "null") continue;
    if (!isString(value)) return undefined;
    if (name === HASH) commit = toText(value);
  }
  return commit;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * The members of an object.
 *
 * @param text JSON without blanks around it.
 * @returns Undefined when it is no object, or nests too deeply.
 */
function splitObject(text: string): Member[] | undefined {
  if (!text.startsWith("{")) return undefined;
  const members: Member[] = [];
  let depth = 0;
  let name: string | undefined;
  let start = 0;
  const endMember = (end: number): void => {
    if (depth > 1 || name === undefined) return;
    members.push({ name, raw: text.slice(start, end).trim() });
    name = undefined;
  };
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (OPENING.has(token)) {
      depth++;
      if (depth > MAX_DEPTH) return undefined;
    } else if (CLOSING.has(token)) {
      endMember(index);
      depth--;
    } else if (token === ",") {
      endMember(index);
    } else if (depth === 1) {
      if (token === ":") start = index + 1;
      else name ??= foldCase(toText(token));
    }
  }
  return members;
}

function isString(raw: string): boolean {
  return raw.startsWith('"');
}

function toText(raw: string): string {
  return String(JSON.parse(raw));
}
