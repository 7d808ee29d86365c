const TIMESTAMP_LENGTH = 14;

/** Where the parts of a pseudo-version lie; indexes into the version without build metadata. */
export interface PseudoShape {
  /** First digit of the timestamp. */
  readonly timestampStart: number;
  /** First character of the revision. */
  readonly revisionStart: number;
}

/**
 * Finds the parts of a pseudo-version in a semantic version that is already known to be valid.
 * Neither the date nor the length of the revision takes part in recognition.
 *
 * @param bare - A valid semantic version **without** its build metadata.
 * @returns The parts, or `undefined` for any other version.
 * @source golang.org/x/mod/module pseudoVersionRE.
 */
export function findPseudoShape(bare: string): PseudoShape | undefined {
  const dash = bare.lastIndexOf("-");
  const timestampStart = dash - TIMESTAMP_LENGTH;
  const prereleaseStart = bare.indexOf("-") + 1;
  if (prereleaseStart === 0 || timestampStart < prereleaseStart) return undefined;
  if (dash + 1 === bare.length || bare.indexOf(".", dash) >= 0) return undefined;
  if (!isDigits(bare, timestampStart, dash)) return undefined;
  const shaped =
    timestampStart === prereleaseStart
      ? bare.slice(bare.indexOf("."), timestampStart) === ".0.0-"
      : endsWithZeroField(bare, prereleaseStart, timestampStart);
  return shaped ? { timestampStart, revisionStart: dash + 1 } : undefined;
}

/** Holds when the pre-release part before the timestamp is `0.` or ends in `.0.`. */
function endsWithZeroField(bare: string, prereleaseStart: number, end: number): boolean {
  if (!bare.startsWith("0.", end - 2)) return false;
  return end - 2 === prereleaseStart || bare[end - 3] === ".";
}

function isDigits(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return false;
  }
  return true;
}
