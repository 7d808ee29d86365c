// Go reads a little more than RFC 3339: an hour of one digit, a comma before the fraction, an
// offset of 24 hours or 60 minutes.
const GO_RFC3339 =
  /^(\d{4})-(\d\d)-(\d\d)T(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;
const LONG_MONTHS: ReadonlySet<number> = new Set([1, 3, 5, 7, 8, 10, 12]);
const MINUTE_MS = 60_000;

const OFFSET = /[+-](\d\d):(\d\d)$/;
const DAY_MINUTES = 24 * 60;

/** Go's zero time: 1 January of year 1. */
export const ZERO_GO_TIME_MS = -62_135_596_800_000;

/**
 * Whether the go command can write down again what {@link parseGoTime} reads: not with an offset of
 * a day or more.
 *
 * @param text - A time that was read.
 * @source Go `time.Time.MarshalJSON`.
 */
export function isWritableGoTime(text: string): boolean {
  const [, hours = 0, minutes = 0] = OFFSET.exec(text) ?? [];
  return Number(hours) * 60 + Number(minutes) < DAY_MINUTES;
}

/**
 * Reads a time as the go command reads those of an `.info` and of a list.
 *
 * The calendar is strict: no 30 February, no 24:00 and no leap second.
 *
 * @param text - Any string, without quotes.
 * @returns Milliseconds since the epoch, with a fraction, or `undefined` where Go sees no time.
 * @source Go `time.Parse` with `time.RFC3339`, and `time.Time.UnmarshalJSON`.
 */
export function parseGoTime(text: string): number | undefined {
  const match = GO_RFC3339.exec(text);
  if (match === null) return undefined;
  const field = (index: number): number => Number(match[index] ?? 0);
  const [year, month, day] = [field(1), field(2), field(3)];
  const [hour, minute, second] = [field(4), field(5), field(6)];
  const [offsetHours, offsetMinutes] = [field(9), field(10)];
  const isInCalendar = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
  const isInDay = hour <= 23 && minute <= 59 && second <= 59;
  if (!isInCalendar || !isInDay || offsetHours > 24 || offsetMinutes > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const offsetMs = (offsetHours * 60 + offsetMinutes) * MINUTE_MS * (match[8] === "-" ? -1 : 1);
  return date.getTime() + Number(`0.${match[7] ?? 0}`) * 1000 - offsetMs;
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return LONG_MONTHS.has(month) ? 31 : 30;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}
