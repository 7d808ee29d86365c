import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { waitForAnswer } from "./client.ts";
import { BenchProcess, findFreePort, plainEnv } from "./process.ts";
import { TOOLS, type Tools } from "./tools.ts";

/** How the source answers from now on; what is not named stays as it is. */
export interface Behaviour {
  readonly mode?: "ok" | "503" | "hang";
  readonly delayMs?: number;
  /** For each connection; 0 is without limit. */
  readonly bytesPerSecond?: number;
}

/** Requests by kind: `list`, `info`, `mod`, `zip`, `sumdb`, … */
export type Counts = Readonly<Record<string, number>>;

/** Recorded answers as files, in the layout of the protocol. */
export const RECORDING = join(TOOLS, "recording");

/** The source that all measured servers share. */
export class Upstream {
  readonly #process: BenchProcess;
  readonly #url: string;

  private constructor(started: BenchProcess, url: string) {
    this.#process = started;
    this.#url = url;
  }

  static async start(tools: Tools, logFolder: string): Promise<Upstream> {
    const port = await findFreePort();
    mkdirSync(RECORDING, { recursive: true });
    const url = `http://127.0.0.1:${port}`;
    const started = new BenchProcess({
      command: [
        tools.upstream,
        "-address",
        `127.0.0.1:${port}`,
        "-real",
        tools.realProxy ?? "",
        "-folder",
        RECORDING,
      ],
      cwd: TOOLS,
      env: plainEnv(),
      logFile: join(logFolder, "upstream.log"),
    });
    const isUp = await waitForAnswer(`${url}/_control`, {
      timeoutMs: 10_000,
      isOver: () => started.hasEnded,
    });
    if (!isUp) throw new Error("the recording source does not start");
    return new Upstream(started, url);
  }

  /** Its address for one caller, whose requests are counted apart. */
  urlFor(caller: string): string {
    return `${this.#url}/${caller}`;
  }

  async set(behaviour: Behaviour): Promise<void> {
    const query = new URLSearchParams(
      Object.entries(behaviour).map(([name, value]) => [name, String(value)]),
    );
    await this.#control(query.toString());
  }

  /** Requests of one caller since the last time, all counters being set back. */
  async takeCounts(caller: string): Promise<Counts> {
    const all = await this.#control("reset=1");
    return all[caller] ?? {};
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }

  async #control(query: string): Promise<Record<string, Counts>> {
    const response = await fetch(`${this.#url}/_control?${query}`, { method: "POST" });
    return (await response.json()) as Record<string, Counts>;
  }
}

/** All requests together, but for those of the checksum database. */
export function countModuleRequests(counts: Counts): number {
  return Object.entries(counts).reduce(
    (sum, [kind, count]) => (kind === "sumdb" ? sum : sum + count),
    0,
  );
}
