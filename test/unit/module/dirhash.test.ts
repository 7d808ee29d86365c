import { createHash } from "node:crypto";

import { describe, it } from "vitest";

import { goModHash, hash1 } from "../../../src/module/dirhash.ts";

function hashOf(files: Readonly<Record<string, string>>): string | { problem: string } {
  return hash1(
    Object.entries(files).map(([name, content]) => ({
      name,
      sha256: createHash("sha256").update(content).digest(),
    })),
  );
}

describe("hash1()", () => {
  it("agrees with dirhash", ({ expect }) => {
    expect(hashOf({})).toBe("h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    expect(
      hashOf({
        "example.com/m@v1.0.0/go.mod": "module example.com/m\n",
        "example.com/m@v1.0.0/m.go": "package m\n",
      }),
    ).toBe("h1:fCHMqo5ggHEQvwcrsN81zr5orRk5lClR36KRHpfUjKg=");
    expect(
      hashOf({
        "example.com/m@v1.0.0/a.go": "package m\n",
        "example.com/m@v1.0.0/a/b.go": "package a\n",
        "example.com/m@v1.0.0/B.go": "package m\n",
      }),
    ).toBe("h1:M68dOj9JQTX7ptMwf0Knuxihpbf6qfB6zyNdF7n+lFw=");
  });

  it("sorts names by their UTF-8 bytes, not by UTF-16 units", ({ expect }) => {
    const sha256 = "0".repeat(64);
    const lines = `${sha256}  \uffee\n${sha256}  \u{1d49c}\n`;
    const wanted = `h1:${createHash("sha256").update(lines).digest("base64")}`;
    expect(
      hash1([
        { name: "\u{1d49c}", sha256 },
        { name: "\uffee", sha256 },
      ]),
    ).toBe(wanted);
  });

  it("takes digests as hex or as bytes", ({ expect }) => {
    const digest = createHash("sha256").update("x");
    const bytes = digest.digest();
    const asHex = hash1([{ name: "a", sha256: bytes.toString("hex") }]);
    expect(hash1([{ name: "a", sha256: bytes }])).toBe(asHex);
  });

  it("refuses names with a line feed", ({ expect }) => {
    expect(hashOf({ "a\nb": "" })).toEqual({ problem: "a file name holds a line feed" });
  });
});

describe("goModHash()", () => {
  it("agrees with the go command", ({ expect }) => {
    const hash = (text: string): string => goModHash(new TextEncoder().encode(text));
    expect(hash("")).toBe("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=");
    expect(hash("module example.com/m\n")).toBe("h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=");
  });
});
