import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import { CONFIG_SCHEMA } from "../../../src/config/schema.ts";

type Json = Record<string, unknown>;

/** Every key that the parser knows, with the keys above it. */
function parserKeys(schema: unknown, at: string): string[] {
  const { type, entries, item, wrapped, pipe, options } = schema as Json;
  if (Array.isArray(pipe)) return pipe.flatMap((part) => (part === schema ? [] : own(part, at)));
  if (type === "optional") return parserKeys(wrapped, at);
  if (type === "array") return parserKeys(item, `${at}[]`);
  if (type === "union") return (options as unknown[]).flatMap((part) => parserKeys(part, at));
  return type === "strict_object" ? entriesOf(entries as Json, at) : [];
}

/** A pipe holds its first schema again: look at that without its pipe. */
function own(part: unknown, at: string): string[] {
  return parserKeys({ ...(part as Json), pipe: undefined }, at);
}

function entriesOf(entries: Json, at: string): string[] {
  return Object.entries(entries).flatMap(([key, entry]) => [
    `${at}.${key}`,
    ...parserKeys(entry, `${at}.${key}`),
  ]);
}

/** The same of the published JSON Schema. */
function publishedKeys(schema: unknown, at: string): string[] {
  const {
    properties = {},
    items,
    oneOf = [],
  } = schema as { properties?: Json; items?: unknown; oneOf?: unknown[] };
  return [
    ...Object.entries(properties).flatMap(([key, entry]) => [
      `${at}.${key}`,
      ...publishedKeys(entry, `${at}.${key}`),
    ]),
    ...(items === undefined ? [] : publishedKeys(items, `${at}[]`)),
    ...oneOf.flatMap((part) => publishedKeys(part, at)),
  ];
}

describe("goproxy-edge.schema.json", () => {
  const file = join(import.meta.dirname, "../../../goproxy-edge.schema.json");
  const published = JSON.parse(readFileSync(file, "utf8")) as Json;

  it("names exactly the keys that the parser takes", ({ expect }) => {
    const known = [...new Set(parserKeys(CONFIG_SCHEMA, ""))].toSorted();
    expect(known.length).toBeGreaterThan(25);
    expect(publishedKeys(published, "").toSorted()).toEqual(known);
  });
});
