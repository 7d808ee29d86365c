import { foldCase } from "../../src/module/case-fold.ts";
import { findFilePathProblem } from "../../src/module/path.ts";
import type { Question } from "./cases.ts";

/** What Go knows of a stretch of code points, as the oracle answers. */
type RuneAnswer = readonly [
  assigned: string,
  letters: string,
  folds: readonly (readonly [rune: number, smallest: number])[],
];

const STRETCH = 0x800;
const SURROGATES = 0xd800;
const RUNES_END = 0x11_0000;
const FIRST_BEYOND_ASCII = 0x80;

/** Questions for all code points but the surrogates. */
export function runeQuestions(): Question[] {
  return Array.from({ length: RUNES_END / STRETCH }, (_, index) => index * STRETCH)
    .filter((from) => from !== SURROGATES)
    .map((from) => ["runes", from, from + STRETCH]);
}

/** The case families that Go knows, as pairs of a member and the smallest member. */
export function foldPairs(answers: readonly unknown[]): (readonly [number, number])[] {
  return answers.flatMap((answer) => (answer as RuneAnswer)[2]);
}

/**
 * Code points that Go's Unicode version has and of which we think otherwise: letter or not. Later
 * Unicode versions may add letters, but never change this.
 */
export function findLetterMismatches(answers: readonly unknown[]): string[] {
  return runeQuestions().flatMap(([, from], index) => {
    const [assigned, letters] = answers[index] as RuneAnswer;
    return Array.from(letters, (letter, i) => ({ rune: Number(from) + i, letter: letter === "1" }))
      .filter(({ rune }, i) => rune >= FIRST_BEYOND_ASCII && assigned[i] === "1")
      .filter(({ rune, letter }) => isFileLetter(rune) !== letter)
      .map(({ rune }) => hex(rune));
  });
}

/**
 * Members of case families that we do not fold together, or fold into another family.
 *
 * @param pairs - All families, as {@link foldPairs} gives them.
 */
export function findFoldMismatches(pairs: readonly (readonly [number, number])[]): string[] {
  const families = new Map<string, number>();
  return pairs.flatMap(([rune, smallest]) => {
    const folded = foldCase(String.fromCodePoint(rune));
    const family = families.get(folded) ?? smallest;
    families.set(folded, family);
    const together = folded === foldCase(String.fromCodePoint(smallest));
    return together && family === smallest ? [] : [hex(rune)];
  });
}

/** Code points that Go keeps apart and that we fold together. */
export function findFoldCollisions(answers: readonly unknown[]): string[] {
  const smallest = new Map(foldPairs(answers));
  const families = new Map<string, number>();
  return runeQuestions().flatMap(([, from], index) => {
    const [assigned] = answers[index] as RuneAnswer;
    return Array.from({ length: STRETCH }, (_, i) => Number(from) + i)
      .filter((_, i) => assigned[i] === "1")
      .filter((rune) => {
        const folded = foldCase(String.fromCodePoint(rune));
        const family = smallest.get(rune) ?? rune;
        const other = families.get(folded) ?? family;
        families.set(folded, other);
        return other !== family;
      })
      .map(hex);
  });
}

function isFileLetter(rune: number): boolean {
  return findFilePathProblem(String.fromCodePoint(rune)) === undefined;
}

function hex(rune: number): string {
  return `U+${rune.toString(16).toUpperCase()}`;
}
