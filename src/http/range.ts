import type { ByteRange } from "../proxy/ports.ts";

const SINGLE_RANGE = /^bytes=(\d*)-(\d*)$/;

/**
 * Parse a Range header.
 *
 * @returns Undefined for none, for several ranges and for another unit: the whole is answered.
 * @source RFC 9110, 14.1.2 and 14.2
 */
export function parseRange(
  header: string | null,
  sizeBytes: number,
): ByteRange | "unsatisfiable" | undefined {
  const match = header === null ? null : SINGLE_RANGE.exec(header.trim());
  const [, first = "", last = ""] = match ?? [];
  if (match === null || (first === "" && last === "")) return undefined;
  if (first === "") {
    const lengthBytes = Math.min(Number(last), sizeBytes);
    if (lengthBytes === 0) return "unsatisfiable";
    return { offsetBytes: sizeBytes - lengthBytes, lengthBytes };
  }
  const offsetBytes = Number(first);
  if (last !== "" && Number(last) < offsetBytes) return undefined;
  if (offsetBytes >= sizeBytes) return "unsatisfiable";
  const end = last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  return { offsetBytes, lengthBytes: end - offsetBytes + 1 };
}
