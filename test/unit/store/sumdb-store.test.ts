import { describe, it } from "vitest";
import type { FileStore } from "../../../src/proxy/ports.ts";
import { SumdbStore } from "../../../src/store/sumdb-store.ts";

// What both places that files live in can take: names of a file system, keys of R2.
const MAX_NAME_BYTES = 240;
const MAX_KEY_BYTES = 1024;

function make(name = "db.test/sumdb") {
  const stored = new Map<string, Uint8Array>();
  const check = (path: string): void => {
    const isTooLong = path.split("/").some((part) => part.length > MAX_NAME_BYTES);
    if (isTooLong || `system/${path}`.length > MAX_KEY_BYTES) throw new Error("name too long");
  };
  const files = {
    readSystem(path: string) {
      check(path);
      return Promise.resolve(stored.get(path));
    },
    writeSystem(path: string, bytes: Uint8Array) {
      check(path);
      stored.set(path, bytes);
      return Promise.resolve();
    },
  } as unknown as FileStore;
  const sql = { exec: () => ({ toArray: () => [] }) } as unknown as SqlStorage;
  return { stored, store: new SumdbStore(files, sql, name) };
}

const element = (letter: string): string => `${letter.repeat(199)}x`;
const deep = (last: string): string =>
  `example.com/${Array.from({ length: 4 }, () => "!c".repeat(100)).join("/")}/${last}`;

describe("SumdbStore records", () => {
  it.for([
    ["example.com/m@v1.0.0"],
    [`example.com/${element("a")}@v1.0.0`],
    [`example.com/${element("a")}@v1.0.0-${"b".repeat(193)}`],
    [`example.com/${"!c".repeat(100)}@v1.0.0-${"!d".repeat(96)}`],
    [deep("m@v1.0.0")],
    [deep(`${element("a")}@v1.0.0-${"b".repeat(193)}`)],
  ])("keeps the record of %s", async ([key = ""], { expect }) => {
    const { store } = make(`${"d".repeat(60)}.test/sumdb`);
    const record = { id: 7, text: "a line\nanother\n" };
    expect(await store.readRecord(key)).toBeUndefined();
    await store.putRecord(key, record);
    expect(await store.readRecord(key)).toEqual(record);
  });

  it("keeps the records of two long names apart", async ({ expect }) => {
    const { store } = make();
    const keys = ["a", "b"].map(
      (end) => `example.com/${element("a")}@v1.0.0-${"b".repeat(90)}${end}`,
    );
    for (const [id, key] of keys.entries()) await store.putRecord(key, { id, text: `${id}\n` });
    const ids = [];
    for (const key of keys) ids.push((await store.readRecord(key))?.id);
    expect(ids).toEqual([0, 1]);
  });

  it("reads a record under the name that it always had", async ({ expect }) => {
    const { stored, store } = make();
    stored.set("sumdb/db.test/sumdb/lookup/example.com/!m@v1.0.0", Buffer.from("3\ntext\n"));
    expect(await store.readRecord("example.com/!m@v1.0.0")).toEqual({ id: 3, text: "text\n" });
  });
});
