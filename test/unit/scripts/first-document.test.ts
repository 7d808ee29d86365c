import { describe, it } from "vitest";
import { parse } from "yaml";
import { checkDocumentSize, firstDocument } from "../../../scripts/first-document.ts";

describe("firstDocument()", () => {
  it("names the upstreams in order and spells out who has access", ({ expect }) => {
    const document = firstDocument([
      "https://a.example",
      "https://b.example/go",
      "https://c.example",
    ]);

    expect(parse(document)).toEqual({
      upstreams: [
        { name: "main", url: "https://a.example" },
        { name: "spare", url: "https://b.example/go" },
        { name: "spare-2", url: "https://c.example" },
      ],
      access: "open",
    });
  });
});

describe("checkDocumentSize()", () => {
  it("says by how much a document does not fit a variable", ({ expect }) => {
    expect(() => checkDocumentSize("é".repeat(2561))).toThrow(
      "5122 bytes and a variable holds 5120",
    );
    expect(() => checkDocumentSize("é".repeat(2560))).not.toThrow();
  });
});
