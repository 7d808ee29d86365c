/** One address of the trace and how often it is asked for, by all developers, per second. */
interface Key {
  readonly kind: "list" | "info" | "mod" | "zip";
  readonly perSecond: number;
}

/** What a company does. */
export interface Company {
  readonly developers: number;
  /** Downloads with an empty cache, of people and of CI, each working day and developer. */
  readonly downloadsPerDay: number;
  /** Lists asked for by `go get` and `go list -m -u`, each working day and developer. */
  readonly listsPerDay: number;
  /** Different states of dependencies among the projects. */
  readonly projects: number;
  /** Share of the modules of a project that get a new version each month. */
  readonly monthlyUpdates: number;
}

/** What the platform is taken to do. */
export interface Platform {
  readonly regions: number;
  /** Isolates that share a region's requests, and how long one lives. */
  readonly isolatesPerRegion: number;
  readonly isolateSeconds: number;
  readonly edgeSeconds: number;
  readonly listSeconds: number;
  /** Kinds of files that the edge cache keeps. */
  readonly edgeKinds: readonly string[];
}

/** Requests a month by the tier that answers them. */
export interface Outcome {
  readonly requests: number;
  readonly memory: number;
  readonly edge: number;
  readonly storage: number;
  readonly source: number;
  readonly listCopies: number;
  /** Calls per second to the coordinator of the module most asked for, at the busiest hour. */
  readonly hottestPerSecond: number;
  /** The same while everybody asks for one version that is new. */
  readonly rushPerSecond: number;
}

export const COMPANY: Company = {
  developers: 10_000,
  downloadsPerDay: 4,
  listsPerDay: 40,
  projects: 200,
  monthlyUpdates: 0.1,
};

export const PLATFORM: Omit<Platform, "regions" | "edgeKinds"> = {
  isolatesPerRegion: 8,
  isolateSeconds: 2 * 3600,
  edgeSeconds: 7 * 24 * 3600,
  listSeconds: 60,
};

const WORKING_DAYS = 22;
const MONTH_SECONDS = WORKING_DAYS * 8 * 3600;
// The busiest hour against the mean of the working day.
const PEAK = 3;
// Everybody at once: all developers' CI within ten minutes of a release.
const RUSH_SECONDS = 600;
// How long the first fetch of a version takes, during which its coordinator is asked.
const FETCH_SECONDS = 1;
const FILES_OF_A_VERSION = 3;

/**
 * Requests of a month through the tiers.
 *
 * Every tier is a cache with a fixed time: of a key asked for λ times in a second the share
 * λT / (1 + λT) is found in a tier that keeps it for T seconds.
 */
export function simulate(paths: readonly string[], company: Company, platform: Platform): Outcome {
  const keys = toKeys(paths, company);
  const outcome = { requests: 0, memory: 0, edge: 0, storage: 0, source: 0, listCopies: 0 };
  let hottest = 0;
  const isolates = platform.regions * platform.isolatesPerRegion;
  for (const { kind, perSecond } of keys) {
    const month = perSecond * MONTH_SECONDS;
    outcome.requests += month;
    const inIsolate = perSecond / isolates;
    if (kind === "list") {
      const hits = month * toHitShare(inIsolate, platform.listSeconds);
      outcome.memory += hits;
      outcome.listCopies += month - hits;
      // Each isolate asks for a list that is no longer fresh once in its time, not more.
      const calls = Math.min(PEAK * perSecond, isolates / platform.listSeconds);
      hottest = Math.max(hottest, calls);
      continue;
    }
    const inMemory = kind === "zip" ? 0 : month * toHitShare(inIsolate, platform.isolateSeconds);
    const left = month - inMemory;
    const inEdge = platform.edgeKinds.includes(kind)
      ? left * toHitShare(left / MONTH_SECONDS / platform.regions, platform.edgeSeconds)
      : 0;
    const fetched = Math.min(left - inEdge, company.monthlyUpdates);
    outcome.memory += inMemory;
    outcome.edge += inEdge;
    outcome.source += fetched;
    outcome.storage += left - inEdge - fetched;
  }
  return {
    ...outcome,
    hottestPerSecond: hottest,
    rushPerSecond: toRushPerSecond(company, isolates),
  };
}

/**
 * Calls to one coordinator while everybody asks for one new version.
 *
 * An isolate asks once for all who wait in it, so only those isolates count that somebody meets
 * while the fetch lasts.
 */
function toRushPerSecond(company: Company, isolates: number): number {
  const askersInIsolate = (toAskersPerSecond(company) * FETCH_SECONDS) / isolates;
  const asking = isolates * (1 - Math.exp(-askersInIsolate));
  return (FILES_OF_A_VERSION * asking) / FETCH_SECONDS;
}

/** How many developers make so many calls to one coordinator; undefined if no number does. */
export function toDevelopersInRush(
  callsPerSecond: number,
  company: Company,
  { regions, isolatesPerRegion }: Pick<Platform, "regions" | "isolatesPerRegion">,
): number | undefined {
  const isolates = regions * isolatesPerRegion;
  const asking = (callsPerSecond * FETCH_SECONDS) / FILES_OF_A_VERSION;
  if (asking >= isolates) return undefined;
  const perSecond = (-isolates * Math.log(1 - asking / isolates)) / FETCH_SECONDS;
  return perSecond / toAskersPerSecond({ ...company, developers: 1 });
}

function toAskersPerSecond({ developers, downloadsPerDay }: Company): number {
  return (developers * downloadsPerDay) / RUSH_SECONDS;
}

/** Every project has the modules of the trace, in versions that it shares with few others. */
function toKeys(paths: readonly string[], company: Company): Key[] {
  const downloads = (company.developers * company.downloadsPerDay * WORKING_DAYS) / MONTH_SECONDS;
  const weights = Array.from({ length: company.projects }, (_, rank) => 1 / (rank + 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const files = paths.flatMap((path) => {
    const kind = path.slice(path.lastIndexOf(".") + 1);
    if (kind !== "info" && kind !== "mod" && kind !== "zip") return [];
    return weights.map((weight): Key => ({ kind, perSecond: (downloads * weight) / total }));
  });
  const modules = new Set(paths.map((path) => path.slice(0, path.indexOf("/@"))));
  const lists = (company.developers * company.listsPerDay * WORKING_DAYS) / MONTH_SECONDS;
  const ranks = [...modules].map((_, rank) => 1 / (rank + 1));
  const all = ranks.reduce((sum, weight) => sum + weight, 0);
  return [
    ...files,
    ...ranks.map((weight): Key => ({ kind: "list", perSecond: (lists * weight) / all })),
  ];
}

function toHitShare(perSecond: number, seconds: number): number {
  return (perSecond * seconds) / (1 + perSecond * seconds);
}
