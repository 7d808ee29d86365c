import * as fc from "fast-check";
import { describe, it } from "vitest";

import {
  isPseudoVersion,
  pseudoVersion,
  pseudoVersionBase,
  pseudoVersionRevision,
  pseudoVersionTime,
} from "../../../src/module/pseudo-version.ts";

const TIME = new Date("2006-01-02T15:04:05Z");

// Rows of golang.org/x/mod's pseudo_test.go: major, older version, pseudo-version.
const ROWS: readonly (readonly [string, string, string])[] = [
  ["", "", "v0.0.0-20060102150405-hash"],
  ["v2", "", "v2.0.0-20060102150405-hash"],
  ["", "v0.0.0", "v0.0.1-0.20060102150405-hash"],
  ["", "v1.2.3", "v1.2.4-0.20060102150405-hash"],
  ["", "v1.2.99999999999999999", "v1.2.100000000000000000-0.20060102150405-hash"],
  ["", "v1.2.3-pre", "v1.2.3-pre.0.20060102150405-hash"],
  ["", "v0.0.0--", "v0.0.0--.0.20060102150405-hash"],
  ["", "v1.0.0+metadata", "v1.0.1-0.20060102150405-hash+metadata"],
  ["", "v2.0.0+incompatible", "v2.0.1-0.20060102150405-hash+incompatible"],
  ["", "v2.3.0-pre+incompatible", "v2.3.0-pre.0.20060102150405-hash+incompatible"],
];

describe("pseudo-versions", () => {
  it.for(ROWS)("of major %j after %j are %s, and read back", ([major, older, made], { expect }) => {
    expect(pseudoVersion(major, older, TIME, "hash")).toBe(made);
    expect(isPseudoVersion(made)).toBe(true);
    expect(pseudoVersionTime(made)).toEqual(TIME);
    expect(pseudoVersionRevision(made)).toBe("hash");
    expect(pseudoVersionBase(made)).toBe(older);
  });

  it.for([
    "v0.0.0",
    "v0.0.0-",
    "v0.0.0-0.20060102150405-hash",
    "v0.1.0-0.20060102150405-hash",
    "v1.0.0-0.20060102150405-hash",
    "v0.0.0-20060102150405-hash+incompatible",
    "v0.0.0-20060102150405-hash+metadata",
  ])("have no possible base in %s", (version, { expect }) => {
    expect(pseudoVersionBase(version)).toBeUndefined();
  });

  it.for([
    "v1.2.3-20240102030405-abcdefabcdef",
    "v1.1.0-20240102030405-abcdefabcdef",
    "v1.2.3-0.20240102030405",
    "v1.2.3-pre.20240102030405-abcdefabcdef",
    "v1.0.0",
    "x",
  ])("are not recognised in %s", (version, { expect }) => {
    expect(isPseudoVersion(version)).toBe(false);
    expect(pseudoVersionTime(version)).toBeUndefined();
    expect(pseudoVersionRevision(version)).toBeUndefined();
  });

  it("are recognised by shape alone, whatever the date and the length of the hash", ({
    expect,
  }) => {
    expect(isPseudoVersion("v1.0.0-20240102030405-abcdefabcdef")).toBe(true);
    expect(isPseudoVersion("v0.0.0-20240102030405-abc")).toBe(true);
    expect(isPseudoVersion("v0.0.0-20241399030405-abcdefabcdef")).toBe(true);
  });

  it("have a time only if the date exists", ({ expect }) => {
    const at = (time: string): Date | undefined => pseudoVersionTime(`v0.0.0-${time}-abcdefabcdef`);
    expect(at("20241399030405")).toBeUndefined();
    expect(at("20230229000000")).toBeUndefined();
    expect(at("20240229235959")).toEqual(new Date("2024-02-29T23:59:59Z"));
    expect(at("20240101240000")).toBeUndefined();
    expect(at("00010101000000")?.toISOString()).toBe("0001-01-01T00:00:00.000Z");
  });

  it("give back time, revision and base, whatever they were made from", ({ expect }) => {
    const time = fc.date({
      min: new Date("1970-01-01T00:00:00Z"),
      max: new Date("9999-12-31T23:59:59Z"),
      noInvalidDate: true,
    });
    const older = fc.stringMatching(
      /^v[1-9]\.[1-9]\.(?:0|[1-9][0-9]{0,19})(?:-[a-z]{1,4}(?:\.[1-9])?)?$/,
    );
    const revision = fc.stringMatching(/^[0-9a-f]{12}$/);
    fc.assert(
      fc.property(older, time, revision, (base, when, rev) => {
        const made = pseudoVersion("", base, when, rev);
        const seconds = Math.floor(when.getTime() / 1000) * 1000;
        expect(pseudoVersionTime(made)?.getTime()).toBe(seconds);
        expect(pseudoVersionRevision(made)).toBe(rev);
        expect(pseudoVersionBase(made)).toBe(base);
      }),
    );
  });
});
