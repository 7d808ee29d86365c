import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { FileRecord } from "../../src/proxy/ports.ts";
import type { RunningServer } from "./start-server.ts";

type Stored = Pick<RunningServer, "data" | "storage">;

/** The record of a stored file, read from where the storage keeps it; undefined without one. */
export function readStoredRecord(server: Stored, key: string): FileRecord | undefined {
  const text = server.storage === "disk" ? readBeside(server, key) : readMetadata(server, key);
  return text === undefined ? undefined : (JSON.parse(text) as FileRecord);
}

/** A stored file as text; undefined when there is none. */
export function readStoredText({ data, storage }: Stored, key: string): string | undefined {
  if (storage === "disk") {
    const file = join(data, "files", key);
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  }
  const root = join(data, "r2", "r2");
  const [blob] = openBuckets(data).flatMap((bucket) => bucket.blob(key) ?? []);
  const name = readdirSync(root, { recursive: true, encoding: "utf8" }).find(
    (path) => blob !== undefined && path.endsWith(`/${blob}`),
  );
  return name === undefined ? undefined : readFileSync(join(root, name), "utf8");
}

/** Put another text in the place of the record of a stored file; only while no server runs. */
export function overwriteStoredRecord(server: Stored, key: string, text: string): void {
  if (server.storage === "disk") {
    writeFileSync(join(server.data, "files", `${key}.record`), text);
    return;
  }
  const found = openBuckets(server.data).find((bucket) => bucket.metadata(key) !== undefined);
  if (found === undefined) throw new Error(`${key} is not stored`);
  found.write(key, JSON.stringify({ record: text }));
}

/** Every row of a table that any Durable Object below a data folder has. */
export function readObjectRows(data: string, table: string): Record<string, unknown>[] {
  return findSqlite(data).flatMap((file) => {
    const database = new DatabaseSync(file);
    try {
      return database.prepare(`SELECT * FROM ${table}`).all();
    } catch {
      return [];
    } finally {
      database.close();
    }
  });
}

function readBeside({ data }: Stored, key: string): string | undefined {
  const file = join(data, "files", `${key}.record`);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

function readMetadata({ data }: Stored, key: string): string | undefined {
  const texts = openBuckets(data).flatMap((bucket) => bucket.metadata(key) ?? []);
  const [text] = texts;
  if (text === undefined) return undefined;
  return Object.values(JSON.parse(text) as Record<string, string>)[0];
}

interface Bucket {
  /** Name of the file that holds an object's bytes. */
  blob(key: string): string | undefined;
  metadata(key: string): string | undefined;
  write(key: string, metadata: string): void;
}

function openBuckets(data: string): Bucket[] {
  const withDatabase =
    (file: string) =>
    <T>(use: (database: DatabaseSync) => T): T | undefined => {
      const database = new DatabaseSync(file);
      try {
        return use(database);
      } catch {
        return undefined;
      } finally {
        database.close();
      }
    };
  return findSqlite(join(data, "r2", "r2")).map((file) => {
    const use = withDatabase(file);
    const column = (name: string, key: string): string | undefined =>
      use((database) => {
        const row = database.prepare(`SELECT ${name} FROM _mf_objects WHERE key = ?`).get(key);
        return row === undefined ? undefined : String(row[name]);
      });
    return {
      blob: (key) => column("blob_id", key),
      metadata: (key) => column("custom_metadata", key),
      write(key, metadata) {
        use((database) =>
          database
            .prepare("UPDATE _mf_objects SET custom_metadata = ? WHERE key = ?")
            .run(metadata, key),
        );
      },
    };
  });
}

function findSqlite(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".sqlite") && !name.endsWith("metadata.sqlite"))
    .map((name) => join(root, name));
}
