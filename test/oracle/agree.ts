import { isDeepStrictEqual } from "node:util";

import { answer } from "./answer.ts";
import type { OracleCase } from "./cases.ts";

/** Where our answer and Go's differ. */
export interface Mismatch {
  readonly question: unknown;
  readonly ours: unknown;
  readonly theirs: unknown;
}

/**
 * Compares our answers with Go's. A yes of ours must be Go's yes, always; a no of ours may meet a
 * yes only where the case allows it.
 */
export async function findMismatches(
  cases: readonly OracleCase[],
  theirs: readonly unknown[],
): Promise<Mismatch[]> {
  const mismatches: Mismatch[] = [];
  for (const [index, { question, mayBeStricter = false }] of cases.entries()) {
    const ours = await answer(question);
    const wanted = theirs[index];
    if (isDeepStrictEqual(ours, wanted) || (mayBeStricter && ours === null)) continue;
    mismatches.push({ question, ours, theirs: wanted });
  }
  return mismatches;
}
