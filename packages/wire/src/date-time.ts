// Times on the wire. Knows nothing of clocks or calendars beyond the Gregorian one.
// Source: XEP-0082 section 3.2 (DateTime), which is XML Schema's dateTime with a time zone.

const pattern = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:Z|([+-])(\d{2}):(\d{2}))$/;

/**
 * Gives milliseconds since 1970, rounded down, or undefined for everything that is not a DateTime: a day that its month does
 * not have, an hour 24, a missing zone. A leap second (`23:59:60` in UTC) is the second after it. Fractions have at most nine
 * digits, zones at most 14 hours.
 */
export function parseDateTime(text: string): number | undefined {
  const found = pattern.exec(text);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [zoneHours, zoneMinutes] = [Number(found[9] ?? 0), Number(found[10] ?? 0)];
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60 || zoneMinutes > 59) return undefined;
  const zone = zoneHours * 60 + zoneMinutes;
  if (zone > 14 * 60) return undefined;
  const fractionMs = Math.floor(Number(`0.${found[7] ?? '0'}`) * 1_000);
  const minutes = hour * 60 + minute - (found[8] === '-' ? -zone : zone);
  if (second === 60 && (minutes + 24 * 60) % (24 * 60) !== 24 * 60 - 1) return undefined;
  return daysSince1970(year, month, day) * 86_400_000 + minutes * 60_000 + second * 1_000 + fractionMs;
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Whole years of 365 days, their leap days, and the days of the months before. */
function daysSince1970(year: number, month: number, day: number): number {
  const past = year - 1;
  const leapDays = Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400);
  let days = past * 365 + leapDays - 719_162 + day - 1;
  for (let before = 1; before < month; before += 1) days += daysOf(year, before);
  return days;
}
