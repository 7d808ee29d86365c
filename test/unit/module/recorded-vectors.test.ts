import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, it } from "vitest";

import { findMismatches } from "../../oracle/agree.ts";
import type { OracleCase } from "../../oracle/cases.ts";
import { findFoldMismatches } from "../../oracle/runes.ts";

// Answers of golang.org/x/mod, recorded by test/oracle/record.ts.
const FILE = join(import.meta.dirname, "../../fixtures/vectors/module.json");

interface Recorded {
  readonly cases: readonly (OracleCase & { readonly answer: unknown })[];
  readonly folds: readonly (readonly [number, number])[];
}

const recorded = JSON.parse(readFileSync(FILE, "utf8")) as Recorded;

describe("recorded answers of golang.org/x/mod", () => {
  it("are our answers too", async ({ expect }) => {
    const answers = recorded.cases.map((item) => item.answer);
    expect(recorded.cases.length).toBeGreaterThan(3000);
    expect(await findMismatches(recorded.cases, answers)).toEqual([]);
  });

  it("know the same case families of letters", ({ expect }) => {
    expect(recorded.folds.length).toBeGreaterThan(2000);
    expect(findFoldMismatches(recorded.folds)).toEqual([]);
  });
});
