// Writes the answers of golang.org/x/mod to test/fixtures/vectors/module.json, for machines without
// Go: node test/oracle/record.ts

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { makeCases } from "./cases.ts";
import { makeRandom } from "./random.ts";
import { askOracle } from "./run-oracle.ts";
import { foldPairs, runeQuestions } from "./runes.ts";

const SEED = 20_261_001;
const GENERATED = 5000;
const ZIPS = 400;
const TARGET = join(import.meta.dirname, "../fixtures/vectors/module.json");

const cases = makeCases(makeRandom(SEED), GENERATED, ZIPS);
const answers = askOracle(cases.map(({ question }) => question));
const lines = cases.map(({ question, mayBeStricter = false }, index) =>
  JSON.stringify({ question, answer: answers[index], ...(mayBeStricter ? { mayBeStricter } : {}) }),
);
const folds = JSON.stringify(foldPairs(askOracle(runeQuestions())));
writeFileSync(TARGET, `{"cases": [\n${lines.join(",\n")}\n],\n"folds": ${folds}}\n`);
