import type { FileRecord, Verified } from "../proxy/ports.ts";

const VERIFIED: ReadonlySet<string> = new Set<Verified>(["sumdb", "ledger", "none"]);

/** The text of a record, as stored beside or with its file. */
export function formatFileRecord(record: FileRecord): string {
  return JSON.stringify(record);
}

/**
 * Read a record back.
 *
 * @returns Undefined when the text is no whole record: such a file does not exist.
 */
export function tryParseFileRecord(text: string | undefined): FileRecord | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isFileRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isFileRecord(value: unknown): value is FileRecord {
  if (typeof value !== "object" || value === null) return false;
  const { sizeBytes, sha256, source, fetchedAt, verified } = value as Record<string, unknown>;
  return (
    Number.isSafeInteger(sizeBytes) &&
    typeof sha256 === "string" &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof source === "string" &&
    typeof fetchedAt === "string" &&
    typeof verified === "string" &&
    VERIFIED.has(verified)
  );
}
