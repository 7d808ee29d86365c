import { beforeAll, describe, it } from "vitest";

import { findMismatches } from "../oracle/agree.ts";
import { makeCases } from "../oracle/cases.ts";
import { makeRandom } from "../oracle/random.ts";
import { askOracle, findOracleObstacle } from "../oracle/run-oracle.ts";
import {
  findFoldCollisions,
  findFoldMismatches,
  findLetterMismatches,
  foldPairs,
  runeQuestions,
} from "../oracle/runes.ts";

// Our module rules against golang.org/x/mod itself. A differing answer means that this proxy and
// the go command disagree about a path, a version, a pattern or an archive.

const SEED = 42;
const GENERATED = 120_000;
const ZIPS = 600;

const obstacle = findOracleObstacle();
const skipped = obstacle !== undefined && process.env["CI"] !== "true";

describe(`the module rules of Go${skipped ? ` (skipped: ${obstacle})` : ""}`, () => {
  beforeAll(() => {
    if (obstacle !== undefined && !skipped) throw new Error(obstacle);
  });

  it.skipIf(skipped)("give our answers to generated questions", async ({ expect }) => {
    const cases = makeCases(makeRandom(SEED), GENERATED, ZIPS);
    const theirs = askOracle(cases.map(({ question }) => question));
    expect(theirs).toHaveLength(cases.length);
    const mismatches = await findMismatches(cases, theirs);
    expect({ count: mismatches.length, first: mismatches.slice(0, 5) }).toEqual({
      count: 0,
      first: [],
    });
  });

  it.skipIf(skipped)("know the same letters and case families", ({ expect }) => {
    const answers = askOracle(runeQuestions());
    expect(findLetterMismatches(answers)).toEqual([]);
    expect(findFoldMismatches(foldPairs(answers))).toEqual([]);
    expect(findFoldCollisions(answers)).toEqual([]);
  });
});
