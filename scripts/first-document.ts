import { stringify } from "yaml";
import { UsageError } from "./usage-error.ts";

/** Cloudflare's limit for the text of one variable. */
const MAX_VARIABLE_BYTES = 5 * 1024;

/**
 * The configuration of a Worker that was never given one.
 *
 * @param upstreams Public sources in order, as addresses that were checked.
 * @returns The document as YAML, its choices spelled out.
 */
export function firstDocument(upstreams: readonly string[]): string {
  return stringify({
    upstreams: upstreams.map((url, index) => ({ name: nameOf(index), url })),
    access: "open",
  });
}

function nameOf(index: number): string {
  if (index === 0) return "main";
  return index === 1 ? "spare" : `spare-${index}`;
}

/** @throws {UsageError} The document is too long for a variable of a Worker. */
export function checkDocumentSize(document: string): void {
  const sizeBytes = Buffer.byteLength(document);
  if (sizeBytes > MAX_VARIABLE_BYTES) {
    throw new UsageError(
      `the configuration has ${sizeBytes} bytes and a variable holds ${MAX_VARIABLE_BYTES}`,
    );
  }
}
