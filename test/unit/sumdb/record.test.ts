import { describe, it } from "vitest";
import { encodeUtf8, toBase64 } from "../../../src/sumdb/encoding.ts";
import { parseModuleKey, toModuleKey } from "../../../src/sumdb/module-key.ts";
import {
  findHashLines,
  formatDataTile,
  formatLookupAnswer,
  formatTreeHead,
  isRecordText,
  parseDataTile,
  parseLookupAnswer,
  parseTreeHead,
  recordText,
} from "../../../src/sumdb/record.ts";
import { recordHash } from "../../../src/sumdb/tlog.ts";

const PATH = "example.com/m";
const ZIP = "h1:zHf7I1XLoV8Kj88fsh9AJLoUOQQxLPOQjxXZuiIVhs4=";
const MOD = "h1:1PQX3PQCTSLmC0Te0lhrf6lEdhjhPdh+cAdXyv/CpD0=";
const OTHER = "h1:2jeqNoZQvn1cGk8/zpYZStnCn+yGulVgKFbwl8HCbjA=";
const ZIP_LINE = `${PATH} v1.0.0 ${ZIP}\n`;
const MOD_LINE = `${PATH} v1.0.0/go.mod ${MOD}\n`;
const TEXT = ZIP_LINE + MOD_LINE;
const NOTE = "go.sum database tree\n1\nroot\n\n\u2014 name sig\n";

describe("recordText()", () => {
  it("writes the record of the reference test database (vectors 165, 166)", ({ expect }) => {
    const text = recordText(PATH, "v1.0.0", { zip: ZIP, mod: MOD });
    expect(text).toBe(TEXT);
    const root = toBase64(recordHash(encodeUtf8(text)));
    expect(root).toBe("Zht22FZcMzagf+pdZhBJ98CZTRrzZGrFPdEVrR+nkt0=");
  });

  it.for([
    [`${PATH}\nevil.com/m`, "v1.0.0", ZIP, MOD],
    [`${PATH} v1.0.0`, "v1.0.0", ZIP, MOD],
    [PATH, "v1.0.0 x", ZIP, MOD],
    [PATH, "v1.0.0", `${ZIP}\n`, MOD],
    [PATH, "v1.0.0", ZIP, "h1:short="],
    [PATH, "v1.0.0", ZIP.replace("h1", "h2"), MOD],
  ] as const)(
    "lets no line be smuggled in by %j %j %j %j",
    ([path, version, zip, mod], { expect }) => {
      expect(() => recordText(path, version, { zip, mod })).toThrow(TypeError);
    },
  );
});

describe("findHashLines()", () => {
  it("finds the two hashes of a record, in any order of lines", ({ expect }) => {
    const hashes = { zip: ZIP, mod: MOD };
    expect(findHashLines(TEXT, PATH, "v1.0.0")).toEqual(hashes);
    expect(findHashLines(MOD_LINE + ZIP_LINE, PATH, "v1.0.0")).toEqual(hashes);
  });

  it("leaves hashes of later algorithms alone", ({ expect }) => {
    const text = `${TEXT}${PATH} v1.0.0 h2:whatever\n`;
    expect(findHashLines(text, PATH, "v1.0.0")).toEqual({ zip: ZIP, mod: MOD });
  });

  // Guarantee: a record that does not name the module proves nothing about it (CVE-2026-42501).
  it.for([
    ["of another module", TEXT.replaceAll("example.com/m", "example.com/other")],
    ["of another version", TEXT.replaceAll("v1.0.0", "v1.0.1")],
    ["of a module whose path ends alike", TEXT.replaceAll("example.com", "x.example.com")],
    ["of a version that begins alike", TEXT.replaceAll("v1.0.0", "v1.0.0-pre")],
    ["without the zip's line", MOD_LINE],
    ["without the go.mod's line", ZIP_LINE],
    ["with one more line of another module", `${TEXT}evil.com/m v1.0.0 ${ZIP}\n`],
    ["with two different zip hashes", `${TEXT}${ZIP_LINE.replace(ZIP, OTHER)}`],
    ["with two different go.mod hashes", `${TEXT}${MOD_LINE.replace(MOD, OTHER)}`],
    ["with the zip's line twice", TEXT + ZIP_LINE],
    ["with the go.mod's line twice", TEXT + MOD_LINE],
    ["with a short hash", TEXT.replace(ZIP, "h1:aaa=")],
    ["with a hash in another spelling", TEXT.replace("Vhs4=", "Vhs5=")],
    ["with a word behind the hash", TEXT.replace(ZIP, `${ZIP} x`)],
    ["with two spaces", TEXT.replace(" h1", "  h1")],
    ["with hashes of a later algorithm only", TEXT.replaceAll("h1:", "h2:")],
    ["that is prose", "nothing to see here\n"],
  ])("refuses a record %s (vector 169)", ([, text = ""], { expect }) => {
    expect(() => findHashLines(text, PATH, "v1.0.0")).toThrow(
      /^sumdb_invalid: record of example.com\/m@v1.0.0 /,
    );
  });
});

describe("parseLookupAnswer()", () => {
  const parse = (body: string) => parseLookupAnswer(encodeUtf8(body));

  it("undoes formatLookupAnswer()", ({ expect }) => {
    const bytes = formatLookupAnswer({ id: 42, text: TEXT }, NOTE);
    expect(parseLookupAnswer(bytes)).toEqual({ id: 42, text: TEXT, note: NOTE });
  });

  // Guarantee: lines behind the record's blank line are no part of it (CVE-2026-56864).
  it("ends the record at its blank line (vector 170)", ({ expect }) => {
    const { text, note } = parse(`7\n${MOD_LINE}\n${ZIP_LINE}${NOTE}`);
    expect(text).toBe(MOD_LINE);
    expect(() => findHashLines(text, PATH, "v1.0.0")).toThrow(/must have one h1: line/);
    expect(note).toBe(ZIP_LINE + NOTE);
  });

  it.for([
    ["nothing", ""],
    ["an id alone", "1\n"],
    ["no blank line", `1\n${TEXT}`],
    ["an empty record", `1\n\n${NOTE}`],
    ["an empty record and a blank line", `1\n\n\n${NOTE}`],
    ["no id", `\n${TEXT}\n${NOTE}`],
    ["a negative id", `-1\n${TEXT}\n${NOTE}`],
    ["a signed id", `+1\n${TEXT}\n${NOTE}`],
    ["a leading zero", `01\n${TEXT}\n${NOTE}`],
    ["an id in hexadecimal", `0x1\n${TEXT}\n${NOTE}`],
    ["an id beyond exact numbers", `9007199254740993\n${TEXT}\n${NOTE}`],
    ["a space behind the id", `1 \n${TEXT}\n${NOTE}`],
    ["a carriage return", `1\n${TEXT.replace("\n", "\r\n")}\n${NOTE}`],
    ["a NUL in the record", `1\n${TEXT.replace("v1", "v\u00001")}\n${NOTE}`],
    ["three megabytes", `1\n${"x".repeat(3e6)}\n\n${NOTE}`],
  ])("refuses %s", ([, body = ""], { expect }) => {
    expect(() => parse(body)).toThrow(/^sumdb_invalid: /);
  });

  it("refuses bytes that are no UTF-8, and keeps a byte order mark", ({ expect }) => {
    const bytes = formatLookupAnswer({ id: 1, text: TEXT }, NOTE);
    expect(() => parseLookupAnswer(bytes.with(5, 0xff))).toThrow(/not valid UTF-8/);
    expect(parse(`1\n\ufeff${TEXT}\n${NOTE}`).text).toBe(`\ufeff${TEXT}`);
    expect(() => parse(`\ufeff1\n${TEXT}\n${NOTE}`)).toThrow(/sumdb_invalid/);
  });

  it("is never given a record that would break the form", ({ expect }) => {
    for (const text of ["", "a", "a\n\nb\n", "\na\n", "a\tb\n"]) {
      expect(isRecordText(text)).toBe(false);
      expect(() => formatLookupAnswer({ id: 0, text }, NOTE)).toThrow(TypeError);
    }
  });
});

describe("parseDataTile()", () => {
  it("undoes formatDataTile()", ({ expect }) => {
    const texts = [TEXT, MOD_LINE, "a\n"];
    expect(parseDataTile(formatDataTile(texts))).toEqual(texts);
  });

  it.for(["", "\n", "\n\n", "a\n", "a", "a\n\n\n\n", "a\n\nb\n", "\na\n\n"])(
    "refuses %j",
    (content, { expect }) => {
      expect(() => parseDataTile(encodeUtf8(content))).toThrow(/malformed data tile/);
    },
  );
});

describe("parseTreeHead()", () => {
  const ROOT = "Zht22FZcMzagf+pdZhBJ98CZTRrzZGrFPdEVrR+nkt0=";

  it("undoes formatTreeHead() and skips lines of later formats", ({ expect }) => {
    const head = parseTreeHead(`go.sum database tree\n12\n${ROOT}\nmore\n`);
    expect(head.size).toBe(12);
    expect(formatTreeHead(head)).toBe(`go.sum database tree\n12\n${ROOT}\n`);
  });

  it.for([
    `go.sum database tree v2\n12\n${ROOT}\n`,
    `go.sum database tree\n12\n${ROOT}`,
    `go.sum database tree\n012\n${ROOT}\n`,
    `go.sum database tree\n-1\n${ROOT}\n`,
    `go.sum database tree\n1e3\n${ROOT}\n`,
    `go.sum database tree\n9999999999999999\n${ROOT}\n`,
    `go.sum database tree\n99999999999999999999\n${ROOT}\n`,
    "go.sum database tree\n12\nshort\n",
    "go.sum database tree\n12\n",
    `12\n${ROOT}\n\n`,
  ])("refuses %j", (text, { expect }) => {
    expect(() => parseTreeHead(text)).toThrow(/malformed tree head/);
  });
});

describe("parseModuleKey()", () => {
  it.for([
    ["example.com/m@v1.0.0", "example.com/m", "v1.0.0"],
    ["github.com/!burnt!sushi/toml@v1.3.2", "github.com/BurntSushi/toml", "v1.3.2"],
    ["example.com/m@v2.0.0+incompatible", "example.com/m", "v2.0.0+incompatible"],
    ["example.com/m@v1.0.0-!r!c.1", "example.com/m", "v1.0.0-RC.1"],
    ["gopkg.in/yaml.v3@v3.0.0-20200313102051-9f266ea9e77c", "gopkg.in/yaml.v3", undefined],
    ["golang.org/toolchain@v0.0.1-go1.21.0.linux-amd64", "golang.org/toolchain", undefined],
  ] as const)("reads %s, and toModuleKey() writes it", ([escaped, path, version], { expect }) => {
    const key = parseModuleKey(escaped);
    expect(key).toMatchObject({ modulePath: path, escaped });
    if (version !== undefined) expect(key.version).toBe(version);
    expect(toModuleKey(key.modulePath, key.version)).toEqual(key);
  });

  it.for([
    "",
    "example.com/m",
    "example.com/m@",
    "@v1.0.0",
    "example.com/m@master",
    "example.com/m@latest",
    "example.com/m@v1",
    "example.com/m@v1.0",
    "example.com/m@v1.0.0/go.mod",
    "example.com/m@v1.0.0@v1.0.0",
    "example.com/m@v1.0.0 ",
    "example.com/m@v1.0.0\n",
    "example.com/m@v1.0.0?x=1",
    "example.com/m@v1.0.0#x",
    "example.com/M@v1.0.0",
    "example.com/!M@v1.0.0",
    "example.com/m!@v1.0.0",
    "example.com/!!m@v1.0.0",
    "example.com/../m@v1.0.0",
    "example.com/./m@v1.0.0",
    "example.com//m@v1.0.0",
    "/example.com/m@v1.0.0",
    "example.com/m/@v1.0.0",
    "example/m@v1.0.0",
    "example.com/%6d@v1.0.0",
    "example.com/m\\n@v1.0.0",
    "ex\u00e4mple.com/m@v1.0.0",
    "example.com:80/m@v1.0.0",
  ])("refuses %j (vector 173)", (escaped, { expect }) => {
    expect(() => parseModuleKey(escaped)).toThrow(/^malformed_path/);
  });

  it("makes no key of a path that holds what escaping is made of", ({ expect }) => {
    expect(() => toModuleKey("example.com/!m", "v1.0.0")).toThrow(/^malformed_path/);
  });
});
