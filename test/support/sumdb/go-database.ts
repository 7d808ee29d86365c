import { generateKey } from "../../../src/sumdb/note.ts";
import type { Oracle, OracleRequest } from "./oracle.ts";
import { randomSeed } from "./test-database.ts";

/** The name that the databases of these tests have. */
export const DATABASE_NAME = "localhost.localdev/sumdb";

/** How golang.org/x/mod's test server is started. */
export interface GoDatabaseOptions {
  readonly signerKey: string;
  /** URL of the proxy whose modules the records are made from. */
  readonly origin: string;
  /** Records that say something else, by `path@version`. */
  readonly records?: Readonly<Record<string, string>>;
  /** Records that come first, and what makes them differ from those of another database. */
  readonly fillers?: number;
  readonly salt?: string;
}

/** A key pair for a database. */
export async function makeDatabaseKey(
  name = DATABASE_NAME,
): Promise<{ signerKey: string; verifierKey: string }> {
  return await generateKey(name, randomSeed());
}

/** Start golang.org/x/mod's test server; it ends with the oracle. Returns its address. */
export async function startGoDatabase(oracle: Oracle, options: GoDatabaseOptions): Promise<string> {
  const request: OracleRequest & Record<string, unknown> = {
    op: "serveDatabase",
    key: options.signerKey,
    origin: options.origin,
    records: options.records ?? {},
    fillers: options.fillers ?? 0,
    text: options.salt ?? "",
  };
  const { text, error } = await oracle.ask(request);
  if (text === undefined) throw new Error(`the database did not start: ${error}`);
  return text;
}

/** A certificate for the loopback, signed by itself, and its key, both PEM. */
export async function makeCertificate(
  oracle: Oracle,
): Promise<{ certificate: string; key: string }> {
  const { lines } = await oracle.ask({ op: "makeCertificate" });
  const [certificate = "", key = ""] = lines?.[0] ?? [];
  return { certificate, key };
}
