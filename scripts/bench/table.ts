import { type Samples, type Spread, toRatios, toSpread } from "./samples.ts";

/** A column of text, all cells padded to one width. */
export function toTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map(
    (row) => `| ${widths.map((width, column) => (row[column] ?? "").padEnd(width)).join(" | ")} |`,
  );
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}

/** Three digits, for figures that are never more exact. */
export function toFigure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 4));
}

/** `median (min–max)`. */
export function toSpreadText(spread: Spread | undefined): string {
  if (spread === undefined) return "-";
  const { min, median, max } = spread;
  if (min === max) return toFigure(median);
  return `${toFigure(median)} (${toFigure(min)}–${toFigure(max)})`;
}

/** Targets as rows, points as columns. */
export function toHitTables(samples: Samples): string {
  const series = samples.all().filter(({ step }) => step === "hits");
  const points = [...new Set(series.map(({ point }) => point))];
  const targets = [...new Set(series.map(({ target }) => target))];
  return points
    .map((point) => {
      const floor = samples.values({ step: "hits", point, target: "floor" }, "cpuMicrosPerRequest");
      const rows = targets.map((target) => {
        const place = { step: "hits", point, target };
        const cpu = samples.values(place, "cpuMicrosPerRequest");
        return [
          target,
          toFigure(toSpread(samples.values(place, "requestsPerSecond"))?.median),
          toSpreadText(toSpread(cpu)),
          toSpreadText(toSpread(toRatios(cpu, floor))),
          toFigure(toSpread(samples.values(place, "requestsPerCpuSecond"))?.median),
          toFigure(toSpread(samples.values(place, "p50Ms"))?.median),
          toFigure(toSpread(samples.values(place, "p99Ms"))?.median),
          toFigure(toSpread(samples.values(place, "rssMegabytes"))?.median),
        ];
      });
      const head = [
        "",
        "req/s",
        "CPU µs/req",
        "of floor",
        "req/CPU s",
        "p50 ms",
        "p99 ms",
        "RSS MB",
      ];
      return `${point}\n\n${toTable([point, ...head.slice(1)], rows)}`;
    })
    .join("\n\n");
}
