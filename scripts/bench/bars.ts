import type { Metric } from "./samples.ts";

interface Place {
  readonly step: string;
  readonly point: string;
  readonly target: string;
}

/** Something that goproxy-edge is meant to reach: a figure, or its ratio to that of others. */
export interface Bar {
  readonly name: string;
  readonly of: Place;
  readonly metric: Metric;
  /** Of several the better one counts; without any the figure itself is compared. */
  readonly against?: readonly Place[];
  readonly againstMetric?: Metric;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const SMALL_POINTS = ["info", "mod", "list", "repeated 404"];

/** What counts, in the order of the report. */
export const BARS: readonly Bar[] = [
  ...SMALL_POINTS.map((point): Bar => ({
    name: `${point}: CPU per request / bare runtime`,
    ...hit(point, ["floor"]),
    metric: "cpuMicrosPerRequest",
    atMost: 1.5,
  })),
  {
    name: "zip 120 KB: CPU per request / bare runtime",
    ...hit("zip 120 KB", ["floor"]),
    metric: "cpuMicrosPerRequest",
    atMost: 3.5,
  },
  ...["list", "repeated 404"].map((point): Bar => ({
    name: `${point}: requests/s / better peer`,
    ...hit(point, ["athens", "goproxy"]),
    metric: "requestsPerSecond",
    atLeast: 5,
  })),
  ...["info", "mod"].flatMap((point): Bar[] => [
    {
      name: `${point}: requests per CPU second / Athens`,
      ...hit(point, ["athens"]),
      metric: "requestsPerCpuSecond",
      atLeast: 1,
    },
    {
      name: `${point}: requests per CPU second / goproxy`,
      ...hit(point, ["goproxy"]),
      metric: "requestsPerCpuSecond",
      atLeast: 0.5,
    },
  ]),
  {
    name: "zip 120 KB: requests per CPU second / Athens",
    ...hit("zip 120 KB", ["athens"]),
    metric: "requestsPerCpuSecond",
    atLeast: 0.7,
  },
  {
    name: "zip 10 MB: requests/s / nginx",
    ...hit("zip 10 MB", ["nginx"]),
    metric: "requestsPerSecond",
    atLeast: 0.8,
  },
  ...["info", "mod", "zip 120 KB"].flatMap((point): Bar[] => [
    {
      name: `behind nginx, ${point}: requests per CPU second / static nginx`,
      of: { step: "front", point, target: "edge behind nginx" },
      against: [{ step: "front", point, target: "nginx" }],
      metric: "requestsPerCpuSecond",
      atLeast: 0.8,
    },
    {
      name: `behind nginx, ${point}: requests per CPU second / goproxy`,
      of: { step: "front", point, target: "edge behind nginx" },
      against: [{ step: "front", point, target: "goproxy" }],
      metric: "requestsPerCpuSecond",
      atLeast: 2,
    },
  ]),
  ...coldBars(),
  ...crowdBars(),
  ...faultBars(),
  {
    name: "memory: RSS after 1,000,000 hits / after 50,000",
    of: { step: "memory", point: "1000000 hits", target: "edge" },
    against: [{ step: "memory", point: "50000 hits", target: "edge" }],
    metric: "rssMegabytes",
    atMost: 1.2,
  },
  ...["hit", "list", "miss", "stored read"].map((what): Bar => ({
    name: `growth: CPU per ${what}, 1,000,000 versions / 1,000`,
    of: { step: "growth", point: `${what}, 1000000 versions`, target: "edge" },
    against: [{ step: "growth", point: `${what}, 1000 versions`, target: "edge" }],
    metric: "cpuMicrosPerRequest",
    atMost: 1.5,
  })),
];

function hit(point: string, others: readonly string[]): Pick<Bar, "of" | "against"> {
  return {
    of: { step: "hits", point, target: "edge" },
    against: others.map((target) => ({ step: "hits", point, target })),
  };
}

function coldBars(): Bar[] {
  const zip = { step: "cold", point: "zip 10 MB" };
  return [
    {
      name: "cold zip of 10 MB: first byte, seconds",
      of: { ...zip, target: "edge" },
      metric: "firstByteSeconds",
      atMost: 0.15,
    },
    {
      name: "cold zip of 10 MB: total / source",
      of: { ...zip, target: "edge" },
      against: [{ ...zip, target: "direct" }],
      metric: "totalSeconds",
      atMost: 1.15,
    },
    {
      name: "cold zip: CPU seconds per 10 MB",
      of: { step: "cold", point: "ingest per 10 MB", target: "edge" },
      metric: "cpuSeconds",
      atMost: 0.2,
    },
    ...["off", "on"].flatMap((sumdb): Bar[] => {
      const point = `go mod download, sumdb ${sumdb}`;
      const again = `go mod download again, sumdb ${sumdb}`;
      const edge = { step: "cold", point, target: "edge" };
      const direct = [{ step: "cold", point, target: "direct" }];
      return [
        {
          name: `${point}: cold / direct`,
          of: edge,
          against: direct,
          metric: "totalSeconds",
          atMost: 1.2,
        },
        {
          name: `${point}: requests to the source / direct`,
          of: edge,
          against: direct,
          metric: "upstreamRequests",
          atMost: 1,
        },
        {
          name: `${point}: warm / static nginx`,
          of: { step: "cold", point: again, target: "edge" },
          against: [{ step: "cold", point: again, target: "nginx" }],
          metric: "totalSeconds",
          atMost: 1.1,
        },
      ];
    }),
  ];
}

function crowdBars(): Bar[] {
  const at = (point: string): Place => ({ step: "crowd", point, target: "edge" });
  return [
    ...["zip 450 KB", "zip 10 MB"].flatMap((zip): Bar[] => [
      {
        name: `50 clients, ${zip}: fetches`,
        of: at(`50 clients, ${zip}`),
        metric: "upstreamRequests",
        atMost: 1,
      },
      {
        name: `50 clients, ${zip}: slowest / one client`,
        of: at(`50 clients, ${zip}`),
        against: [at(`one client, ${zip}`)],
        metric: "totalSeconds",
        atMost: 1.2,
      },
    ]),
    {
      name: "hits while 200 wait for a hanging source: p99 / before",
      of: at("hits while 200 wait"),
      against: [at("hits before")],
      metric: "p99Ms",
      atMost: 1.5,
    },
  ];
}

function faultBars(): Bar[] {
  return ["503", "hang"].flatMap((mode): Bar[] => [
    {
      name: `source ${mode}: stored list, seconds`,
      of: { step: "faults", point: `${mode}, stored list`, target: "edge" },
      metric: "totalSeconds",
      atMost: 0.1,
    },
    {
      name: `source ${mode}: unstored zip, seconds`,
      of: { step: "faults", point: `${mode}, unstored zip`, target: "edge" },
      metric: "totalSeconds",
      atMost: 10,
    },
  ]);
}
