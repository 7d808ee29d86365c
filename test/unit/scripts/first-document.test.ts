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

  // Guarantee: the document becomes a variable that anybody with a look at the dashboard can read.
  it("refuses an address with a credential and does not repeat it", ({ expect }) => {
    const make = (): string => firstDocument(["https://user:hunter2@a.example"]);

    expect(make).toThrow(/carries a credential/);
    expect(make).not.toThrow(/hunter2/);
  });

  it.for(["a.example", "file:///srv/modules"])("refuses %s as an upstream", (url, { expect }) => {
    expect(() => firstDocument([url])).toThrow(url);
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
