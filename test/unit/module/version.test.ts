import * as fc from "fast-check";
import { describe, it } from "vitest";

import {
  buildOf,
  canonicalize,
  canonicalVersion,
  compareVersions,
  isValidVersion,
  majorMinorOf,
  majorOf,
  prereleaseOf,
  sortVersions,
} from "../../../src/module/version.ts";

// From lowest to highest; equal precedence is ordered by text.
const ORDERED = [
  "bad",
  "v0.0.0-20240102030405-abcdefabcdef",
  "v0.9.9",
  "v1.0.0-0.20240102030405-abcdefabcdef",
  "v1.0.0-alpha",
  "v1.0.0-rc.1",
  "v1.0.0-rc.2",
  "v1.0.0-rc.10",
  "v1.0.0-rc1",
  "v1",
  "v1.0",
  "v1.0.0",
  "v1.0.0+a",
  "v1.0.0+b",
  "v1.0.1-0.20240102030405-abcdefabcdef",
  "v2.0.0+incompatible",
];

const identifier = fc.stringMatching(/^(?:0|[1-9][0-9]{0,20}|[a-z-][0-9a-z-]{0,3})$/);
const number = fc.bigInt({ min: 0n, max: 10n ** 25n }).map(String);
const version = fc
  .tuple(number, number, number, fc.array(identifier, { maxLength: 3 }))
  .map(([major, minor, patch, pre]) => {
    const suffix = pre.length === 0 ? "" : `-${pre.join(".")}`;
    return `v${major}.${minor}.${patch}${suffix}`;
  });

describe("version parts", () => {
  it.for([
    ["v1", "v1.0.0"],
    ["v1.2", "v1.2.0"],
    ["v1.2.3+meta", "v1.2.3"],
    ["v1.2.3-pre+meta", "v1.2.3-pre"],
    ["bad", ""],
  ] as const)("make %s canonical as %j", ([text, canonical], { expect }) => {
    expect(canonicalize(text)).toBe(canonical);
  });

  it("keep +incompatible, and no other build metadata, in a canonical version", ({ expect }) => {
    expect(canonicalVersion("v1.2.3-pre+incompatible")).toBe("v1.2.3-pre+incompatible");
    expect(canonicalVersion("v1.2.3+meta")).toBe("v1.2.3");
    expect(canonicalVersion("v2")).toBe("v2.0.0");
    expect(canonicalVersion("x")).toBe("");
  });

  it("are empty for what is no version", ({ expect }) => {
    const parts = [majorOf, majorMinorOf, prereleaseOf, buildOf].map((part) => part("1.2.3"));
    expect(parts).toEqual(["", "", "", ""]);
  });

  it("come with their marks", ({ expect }) => {
    const text = "v2.1.0-rc.1+meta.2";
    const parts = [majorOf, majorMinorOf, prereleaseOf, buildOf].map((part) => part(text));
    expect(parts).toEqual(["v2", "v2.1", "-rc.1", "+meta.2"]);
    expect(majorMinorOf("v2")).toBe("v2.0");
  });
});

describe("isValidVersion()", () => {
  it.for(["v1.2.3-0a", "v1.2.3--", "v1.2.3+01", "v99999999999999999999.0.0", "v1", "v1.2"])(
    "accepts %s",
    (text, { expect }) => {
      expect(isValidVersion(text)).toBe(true);
    },
  );

  it.for([
    ...["v1-pre", "v1+meta", "v1.2-pre", "v1.2+meta", "bad", "v01.2.3", "v1.2.3-01", "v1.2.3-"],
    ...["v1.2.3+", "v1.2.3.4", "V1.2.3", "1.2.3", "", "v", "v1.", "v1.2.", " v1.2.3", "v1.2.3\n"],
    ...["v1.2.3-a..b", "v1.2.3+a..b", "v1.2.3-é", "v1.2.3-a_b", "v1.2.3-a+b+c"],
  ])("refuses %j", (text, { expect }) => {
    expect(isValidVersion(text)).toBe(false);
  });
});

describe("version order", () => {
  it("is Go's, with ties by text", ({ expect }) => {
    expect(sortVersions(ORDERED.toReversed())).toEqual(ORDERED);
    expect(sortVersions(ORDERED.toSorted())).toEqual(ORDERED);
  });

  it("ignores build metadata, short forms and the text of invalid versions", ({ expect }) => {
    expect(compareVersions("v1.0.0+a", "v1.0.0+b")).toBe(0);
    expect(compareVersions("v1", "v1.0.0")).toBe(0);
    expect(compareVersions("bad", "worse")).toBe(0);
    expect(compareVersions("bad", "v0.0.0-0")).toBe(-1);
  });

  it("knows numbers that no double can hold", ({ expect }) => {
    expect(compareVersions("v9007199254740993.0.0", "v9007199254740992.0.0")).toBe(1);
    expect(compareVersions("v1.0.0-99999999999999999999", "v1.0.0-99999999999999999998")).toBe(1);
  });

  it("is a total order", ({ expect }) => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(compareVersions(a, b)).toBe(0 - compareVersions(b, a));
        expect(compareVersions(a, b) === 0).toBe(a === b);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
        }
      }),
    );
  });

  it("does not depend on the order of the input", ({ expect }) => {
    fc.assert(
      fc.property(fc.array(version), (list) => {
        expect(sortVersions(list.toReversed())).toEqual(sortVersions(list));
      }),
    );
  });
});
