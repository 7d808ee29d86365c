import { describe, it } from "vitest";

import {
  compilePrefixPatterns,
  findPathPatternProblem,
  matchPathPattern,
  matchPrefixPatterns,
} from "../../../src/module/pattern.ts";

// Rows of Go's path/match_test.go; undefined marks a malformed pattern.
const ROWS: readonly (readonly [string, string, boolean | undefined])[] = [
  ["abc", "abc", true],
  ["*", "abc", true],
  ["*c", "abc", true],
  ["a*", "a", true],
  ["a*", "ab/c", false],
  ["a*/b", "abc/b", true],
  ["a*/b", "a/c/b", false],
  ["a*b*c*d*e*/f", "axbxcxdxe/f", true],
  ["a*b*c*d*e*/f", "axbxcxdxexxx/f", true],
  ["a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false],
  ["a*b?c*x", "abxbbxdbxebxczzx", true],
  ["a*b?c*x", "abxbbxdbxebxczzy", false],
  ["ab[c]", "abc", true],
  ["ab[b-d]", "abc", true],
  ["ab[e-g]", "abc", false],
  ["ab[^c]", "abc", false],
  ["ab[^e-g]", "abc", true],
  ["a\\*b", "a*b", true],
  ["a\\*b", "ab", false],
  ["a?b", "a☺b", true],
  ["a[^a]b", "a☺b", true],
  ["a???b", "a☺b", false],
  ["a[^a][^a][^a]b", "a☺b", false],
  ["[a-ζ]*", "α", true],
  ["*[a-ζ]", "A", false],
  ["a?b", "a/b", false],
  ["a*b", "a/b", false],
  ["[\\]a]", "]", true],
  ["[\\-x]", "-", true],
  ["[x\\-]", "z", false],
  ["[]a]", "]", undefined],
  ["[-]", "-", undefined],
  ["[x-]", "x", undefined],
  ["[-x]", "x", undefined],
  ["\\", "a", undefined],
  ["[a-b-c]", "a", undefined],
  ["[", "a", undefined],
  ["[^bc", "a", undefined],
  ["a[", "ab", undefined],
  ["*x", "xxx", true],
  ["", "", true],
  ["", "a", false],
];

describe("matchPathPattern()", () => {
  it.for(ROWS)("knows %j against %j: %s", ([pattern, name, matched], { expect }) => {
    expect(matchPathPattern(pattern, name)).toBe(matched ?? false);
    expect(findPathPatternProblem(pattern) === undefined).toBe(matched !== undefined);
  });

  it("stays fast on patterns made to blow up", ({ expect }) => {
    const started = process.cpuUsage();
    expect(matchPathPattern(`${"a*".repeat(200)}b`, "a".repeat(2000))).toBe(false);
    expect(matchPathPattern(`${"*a".repeat(200)}[^a]`, "a".repeat(2000))).toBe(false);
    expect(process.cpuUsage(started).user).toBeLessThan(1_000_000);
  });
});

describe("prefix patterns", () => {
  it.for([
    ["*/quote", "rsc.io/quote/v3", true],
    ["*quo*", "rsc.io/quote", false],
    ["rsc", "rsc.io/quote", false],
    ["rsc*", "rsc.io/quote", true],
    ["*.io", "rsc.io/quote", true],
    ["*/*/*", "rsc.io/quote", false],
    [",,*/quote", "rsc.io/quote", true],
    ["*.corp.example.com", "corp.example.com/x", false],
    ["rsc.io/private", "rsc.io/privateer", false],
    ["example.com/team-*/svc", "example.com/team-a/svc/sub", true],
    ["rsc.io/quote/", "rsc.io/quote", true],
    ["[, rsc.io/quote", "rsc.io/quote", false],
    ["[,rsc.io", "rsc.io/quote", true],
    ["", "rsc.io/quote", false],
    ["rsc.io", "rsc.io", true],
    ["a/b", "a", false],
  ] as const)("%j and %s: %s", ([globs, target, matched], { expect }) => {
    expect(matchPrefixPatterns(globs, target)).toBe(matched);
    expect(compilePrefixPatterns(globs.split(","))(target)).toBe(matched);
  });
});
