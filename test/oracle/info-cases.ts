import type { OracleCase } from "./cases.ts";
import type { Random } from "./random.ts";

const NAMES = ["Version", "version", "VERSION", "Ver\\u0073ion", "Verſion", "Versions", ""];
const TIME_NAMES = ["Time", "time", "tIME"];
const ORIGIN_NAMES = ["Origin", "origin", "ORİGIN"];
const ORIGIN_FIELDS =
  "VCS URL Subdir Hash hash TagPrefix TagSum Ref RepoSum ref Vcſ Other Name".split(" ");
const VALUES = [`"v1.0.0"`, `"v\\u0031.0.0"`, `"v9.9.9"`, `""`, "null", "1", "true", "[]", "{}"];
const ANY = [`"x"`, "null", "-0", "1e9", "false", `["a",{"Version":1}]`, `{"a":{"b":[]}}`];
const TIMES = [
  `"2020-02-03T04:05:06Z"`,
  `"2020-02-29T00:00:00Z"`,
  `"2100-02-29T00:00:00Z"`,
  `"2020-02-30T00:00:00Z"`,
  `"2020-02-03T24:00:00Z"`,
  `"2020-02-03T23:59:60Z"`,
  `"2020-02-03T4:05:06Z"`,
  `"2020-02-03t04:05:06z"`,
  `"2020-02-03 04:05:06Z"`,
  `"2020-02-03T04:05:06"`,
  `"2020-02-03T04:05:06,5Z"`,
  `"2020-02-03T04:05:06.Z"`,
  `"2020-02-03T04:05:06.1234567891234Z"`,
  `"2020-02-03T04:05:06+24:00"`,
  `"2020-02-03T04:05:06-23:60"`,
  `"2020-02-03T04:05:06+25:00"`,
  `"2020-02-03T04:05:06+0100"`,
  `"2020\\u002d02-03T04:05:06Z"`,
  `"0000-01-01T00:00:00Z"`,
  `"0099-12-31T23:59:59Z"`,
  `"20200-01-01T00:00:00Z"`,
  `""`,
  "null",
  "5",
  "{}",
];
const DIGITS = "0123456789";

/** The body of an `.info`, mostly one that a source might send. */
export function infoQuestion(random: Random): OracleCase {
  if (random.oneIn(40)) return ask(random.pick([...ANY, "", "null", "{", `{"Version":"v1"}}`]));
  const members = Array.from({ length: random.below(5) }, () => randomMember(random));
  if (!random.oneIn(4)) members.push(`"Version":"v1.0.0"`);
  const blank = random.pick(["", "", " ", "\n\t", "\f"]);
  const text = `${blank}{${members.join(`,${blank}`)}}${blank}`;
  return ask(random.oneIn(20) ? mutate(random, text) : text);
}

function ask(text: string): OracleCase {
  return { question: ["info", text] };
}

function randomMember(random: Random): string {
  const colon = random.pick([":", ":", " : "]);
  switch (random.below(4)) {
    case 0:
      return `"${random.pick(NAMES)}"${colon}${random.pick(VALUES)}`;
    case 1:
      return `"${random.pick(TIME_NAMES)}"${colon}${randomTime(random)}`;
    case 2:
      return `"${random.pick(ORIGIN_NAMES)}"${colon}${randomOrigin(random)}`;
    default:
      return `"${random.pick(["Name", "Short", "Other", "x\\ty"])}"${colon}${random.pick(ANY)}`;
  }
}

function randomOrigin(random: Random): string {
  if (random.oneIn(5)) return random.pick(ANY);
  const fields = Array.from(
    { length: random.below(4) },
    () => `"${random.pick(ORIGIN_FIELDS)}":${random.oneIn(6) ? random.pick(ANY) : `"h"`}`,
  );
  return `{${fields.join()}}`;
}

function randomTime(random: Random): string {
  const time = random.pick(TIMES);
  return random.oneIn(2) ? time : mutate(random, time);
}

/** Puts another digit in the place of one, or drops a character. */
function mutate(random: Random, text: string): string {
  const chars = Array.from(text);
  const at = random.below(chars.length + 1);
  const isDigit = DIGITS.includes(chars[at] ?? "x");
  chars.splice(at, 1, ...(isDigit ? [random.pick(Array.from(DIGITS))] : []));
  return chars.join("");
}
