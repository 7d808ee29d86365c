import { describe, it } from "vitest";
import { DEFAULT_SUMDB_NAME, DEFAULT_VERIFIER_KEY } from "../../../src/sumdb/constants.ts";
import { toBase64, tryFromBase64 } from "../../../src/sumdb/encoding.ts";
import {
  formatVerifierKey,
  generateKey,
  openNote,
  parseSignerKey,
  parseVerifierKey,
  signNote,
} from "../../../src/sumdb/note.ts";
import { parseTreeHead } from "../../../src/sumdb/record.ts";
import { randomSeed, testSigner } from "../../support/sumdb/test-database.ts";

const KEY = "localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6";
const NAME = "localhost.localdev/sumdb";
const SIGNED_AT_1 = [
  "go.sum database tree",
  "1",
  "Zht22FZcMzagf+pdZhBJ98CZTRrzZGrFPdEVrR+nkt0=",
  "",
  `\u2014 ${NAME} AAAMZxb2H1IGlKhNv6bFU3tWfcMfYf71FTelrsnMB0XOztKkyr4QPWiqzPscMtBjhMIj410o6rLzvWkWvWxX0xyUxQk=`,
  "",
].join("\n");
const SIGNED_AT_2 = [
  "go.sum database tree",
  "2",
  "5d0/8/jdqaeIONHDyMyjBS8rykcF1IQGd+RXQRWddWE=",
  "",
  `\u2014 ${NAME} AAAMZwHmYg2+nwKDxdP5pR+/yWOZ8hOcag/WUBnrh5ECfiZShAFtJSJswA1jIRvyXXT830jnhjPeBJJXwfsLZoLnEgQ=`,
  "",
].join("\n");

describe("parseVerifierKey()", () => {
  it("reads the key of the reference test database (vector 164)", ({ expect }) => {
    const verifier = parseVerifierKey(KEY);
    expect(verifier.name).toBe(NAME);
    expect(verifier.keyHash).toBe(0x0c67);
    expect(formatVerifierKey(verifier)).toBe(KEY);
  });

  it("reads the published key of the default database", ({ expect }) => {
    expect(parseVerifierKey(DEFAULT_VERIFIER_KEY)).toMatchObject({
      name: DEFAULT_SUMDB_NAME,
      keyHash: 0x033de0ae,
    });
  });

  it.for([
    ["no key at all", ""],
    ["a bare name", "localhost.localdev/sumdb"],
    ["a name with a space", KEY.replace("localhost.", "local host.")],
    ["a name with a wider space", KEY.replace("localhost.", "local\u00a0host.")],
    ["another name under the same hash", KEY.replace("localhost.", "evil.")],
    ["another hash", KEY.replace("00000c67", "00000c68")],
    ["a short hash", KEY.replace("00000c67", "c67")],
    ["a short key", KEY.slice(0, -4)],
    ["another algorithm", KEY.replace("+AcTr", "+AsTr")],
    ["a key that is no base64", `${KEY.slice(0, -1)}*`],
    ["a trailing newline", `${KEY}\n`],
  ])("refuses %s", ([, key = ""], { expect }) => {
    expect(() => parseVerifierKey(key)).toThrow(/invalid_config: verifier key/);
  });
});

describe("parseSignerKey()", () => {
  it("belongs to the verifier key that was made with it", async ({ expect }) => {
    const { signerKey, verifierKey } = await generateKey(NAME, randomSeed());
    const signer = await parseSignerKey(signerKey);
    expect(formatVerifierKey(signer.verifier)).toBe(verifierKey);
  });

  it("refuses a key whose hash is another's, and does not print it", async ({ expect }) => {
    const { signerKey } = await generateKey(NAME, randomSeed());
    const mixed = signerKey.replace(/\+[0-9a-f]{8}\+/, "+00000000+");
    const error = await parseSignerKey(mixed).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "invalid_config" });
    expect(String(error)).not.toContain(mixed.slice(-20));
  });

  it.for(["", KEY, `PRIVATE+KEY+${KEY.slice(0, -8)}`, "PRIVATE+KEY+a b+00000c67+AAAA"])(
    "refuses %j",
    async (key, { expect }) => {
      await expect(parseSignerKey(key)).rejects.toMatchObject({ code: "invalid_config" });
    },
  );

  it("is the same key for the same seed, and takes no shorter one", async ({ expect }) => {
    const seed = randomSeed();
    expect(await generateKey(NAME, seed)).toEqual(await generateKey(NAME, seed));
    await expect(generateKey(NAME, seed.subarray(1))).rejects.toThrow(TypeError);
  });

  it("makes no key for a name that could not be read back", async ({ expect }) => {
    await expect(generateKey("a+b", randomSeed())).rejects.toMatchObject({
      code: "invalid_config",
    });
  });
});

describe("openNote()", () => {
  const verifiers = [parseVerifierKey(KEY)];

  it("accepts the reference database's heads at sizes 1 and 2 (vectors 165, 167)", async ({
    expect,
  }) => {
    const one = parseTreeHead((await openNote(SIGNED_AT_1, verifiers)).text);
    const two = parseTreeHead((await openNote(SIGNED_AT_2, verifiers)).text);
    expect([one.size, two.size]).toEqual([1, 2]);
    expect(toBase64(one.root)).toBe("Zht22FZcMzagf+pdZhBJ98CZTRrzZGrFPdEVrR+nkt0=");
  });

  it("refuses a note with any bit of its text changed (vector 168)", async ({ expect }) => {
    const textLength = SIGNED_AT_2.indexOf("\n\n") + 1;
    for (let at = 0; at < textLength; at++) {
      const changed = String.fromCharCode(SIGNED_AT_2.charCodeAt(at) ^ 1);
      const note = SIGNED_AT_2.slice(0, at) + changed + SIGNED_AT_2.slice(at + 1);
      await expect(openNote(note, verifiers), note).rejects.toMatchObject({
        code: "sumdb_invalid",
      });
    }
  });

  it.for([
    ["nothing", ""],
    ["no signature", "text\n\n"],
    ["no blank line", SIGNED_AT_1.replace("\n\n", "\n")],
    ["no final newline", SIGNED_AT_1.slice(0, -1)],
    ["a line after the signature", `${SIGNED_AT_1}example.com/m v1.0.0 h1:evil=\n`],
    ["a blank line after the signature", `${SIGNED_AT_1}\n`],
    ["a hyphen for the dash", SIGNED_AT_1.replace("\u2014", "-")],
    ["a carriage return", SIGNED_AT_1.replaceAll("\n", "\r\n")],
    ["a tab in the text", SIGNED_AT_1.replace("go.sum ", "go.sum\t")],
    ["a signature in another spelling", SIGNED_AT_1.replace("UxQk=", "UxQl=")],
    ["a signature without padding", SIGNED_AT_1.replace("xQk=", "xQk")],
    ["a signature that is too short", SIGNED_AT_1.replace(/AAAM.*=/, "AAAMZw==")],
    ["another signer only", SIGNED_AT_1.replace(NAME, "evil.example/sumdb")],
    ["over a million bytes", `${"x".repeat(1e6)}\n\n${SIGNED_AT_1.split("\n\n")[1]}`],
  ])("refuses a note with %s", async ([, note = ""], { expect }) => {
    await expect(openNote(note, verifiers)).rejects.toMatchObject({ code: "sumdb_invalid" });
  });

  it("refuses a key of the same name", async ({ expect }) => {
    const note = await signNote("text\n", await testSigner(NAME));
    await expect(openNote(note, verifiers)).rejects.toThrow(/not signed by the configured key/);
  });

  it("skips signers that it does not know, but no more than 100", async ({ expect }) => {
    const stranger = (await signNote("text\n", await testSigner("stranger"))).split("\n").at(-2);
    const signer = await testSigner();
    const signed = await signNote("text\n", signer);
    const many = (count: number) => `${signed}${`${stranger}\n`.repeat(count)}`;
    const opened = await openNote(many(99), [signer.verifier]);
    expect(opened).toEqual({ text: "text\n", verifiedBy: [signer.verifier] });
    await expect(openNote(many(100), [signer.verifier])).rejects.toThrow(/too many/);
  });

  it("refuses a bad signature of a known signer even beside a good one", async ({ expect }) => {
    const [a, b] = [await testSigner("a"), await testSigner("b")];
    const good = await signNote("text\n", a);
    const bad = (await signNote("other\n", b)).split("\n\n")[1];
    await expect(openNote(good + bad, [a.verifier, b.verifier])).rejects.toThrow(/invalid sig/);
    expect((await openNote(good + bad, [a.verifier])).verifiedBy).toEqual([a.verifier]);
  });

  it("takes the last blank line as the border of the text", async ({ expect }) => {
    const signer = await testSigner();
    const text = "first\n\nsecond\n";
    expect((await openNote(await signNote(text, signer), [signer.verifier])).text).toBe(text);
  });
});

describe("signNote()", () => {
  it.for(["", "no newline", "tab\t\n"])(
    "has nothing to do with the text %j",
    async (text, { expect }) => {
      await expect(signNote(text, await testSigner())).rejects.toThrow(TypeError);
    },
  );
});

describe("tryFromBase64()", () => {
  it.for([
    ["AA==", 1],
    ["AAA=", 2],
    ["", 0],
    ["AB==", undefined],
    ["AA", undefined],
    ["A===", undefined],
    ["AA==\n", undefined],
    ["-_==", undefined],
  ] as const)("reads %j as %s bytes", ([text, length], { expect }) => {
    expect(tryFromBase64(text)?.length).toBe(length);
  });
});
