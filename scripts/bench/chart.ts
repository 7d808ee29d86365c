import { type Samples, toSpread } from "./samples.ts";

const WIDTH = 760;
const LEFT = 96;
const RIGHT = 110;
const BAR = 13;
const GAP = 3;
const GROUP_GAP = 16;
const TOP = 46;
const COLOURS: Readonly<Record<string, string>> = {
  edge: "#2563eb",
  athens: "#9a6b2f",
  goproxy: "#0f8a6a",
  nginx: "#7c7c86",
  floor: "#c3c3cc",
};
const POINTS = ["list", "repeated 404", "info", "mod", "zip 120 KB"];

/** Processor time per request of every server, as one chart with a logarithmic scale. */
export function toChart(samples: Samples): string {
  const groups = POINTS.map((point) => ({
    point,
    bars: Object.keys(COLOURS).flatMap((target) => {
      const values = samples.values({ step: "hits", point, target }, "cpuMicrosPerRequest");
      const median = toSpread(values)?.median;
      return median === undefined ? [] : [{ target, median }];
    }),
  })).filter(({ bars }) => bars.length > 0);
  const all = groups.flatMap(({ bars }) => bars.map(({ median }) => median));
  const least = Math.min(...all, 5) * 0.8;
  const span = Math.log(Math.max(...all, 10) / least);
  const toX = (micros: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(micros / least)) / span;
  const parts: string[] = [];
  let y = TOP;
  for (const { point, bars } of groups) {
    parts.push(text({ x: LEFT - 8, y: y + BAR, anchor: "end", weight: 600 }, point));
    for (const { target, median } of bars) {
      const x = toX(median);
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${(x - LEFT).toFixed(1)}" height="${BAR}" rx="2" fill="${COLOURS[target] ?? "#000"}"/>`,
        text({ x: x + 5, y: y + BAR - 3 }, `${Math.round(median)} µs  ${target}`),
      );
      y += BAR + GAP;
    }
    y += GROUP_GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="11">
<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>
${text({ x: 12, y: 20, weight: 600 }, "Processor time per cached answer, microseconds (logarithmic; shorter is better)")}
${parts.join("\n")}
</svg>
`;
}

function text(
  at: {
    readonly x: number;
    readonly y: number;
    readonly anchor?: string;
    readonly weight?: number;
  },
  content: string,
): string {
  const { x, y, anchor = "start", weight = 400 } = at;
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-weight="${weight}" fill="#1c1c22">${content}</text>`;
}
