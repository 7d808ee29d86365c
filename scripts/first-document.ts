import { stringify } from "yaml";

/** Cloudflare's limit for the text of one variable. */
const MAX_VARIABLE_BYTES = 5 * 1024;

/** A mistake of the person at the terminal: one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * The configuration of a Worker that was never given one.
 *
 * @param upstreams Public sources in order, as addresses.
 * @returns The document as YAML, its choices spelled out.
 * @throws {UsageError} An address is not http(s) or carries a credential.
 */
export function firstDocument(upstreams: readonly string[]): string {
  return stringify({
    upstreams: upstreams.map((address, index) => ({ name: nameOf(index), url: checked(address) })),
    access: "open",
  });
}

function nameOf(index: number): string {
  if (index === 0) return "main";
  return index === 1 ? "spare" : `spare-${index}`;
}

function checked(address: string): string {
  if (!URL.canParse(address)) throw new UsageError(`upstream "${address}" is not a URL`);
  const url = new URL(address);
  if (url.username !== "" || url.password !== "") {
    throw new UsageError(
      `the upstream on ${url.host} carries a credential: put it in a Worker secret and name that in a configuration file`,
    );
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new UsageError(`upstream "${address}" is neither https nor http`);
  }
  return address;
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
