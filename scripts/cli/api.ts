import { setTimeout as wait } from "node:timers/promises";

/** A mistake of the person at the terminal, or a refusal of the server: one line, no stack. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: number;

  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** How far a job is, as the server tells it. */
export interface JobReport {
  readonly job: string;
  readonly kind: string;
  readonly status: "running" | "done" | "failed";
  readonly files: number;
  readonly modules: number;
  readonly damaged: number;
  readonly damages: readonly {
    readonly file: string;
    readonly problem: string;
    readonly action: string;
  }[];
  readonly error?: string;
}

const POLL_MS = 250;

/** The admin API of one deployment. */
export class AdminApi {
  readonly #baseUrl: string;
  readonly #token: string;

  /** @throws CliError when the address is none. */
  constructor(baseUrl: string, token: string) {
    if (URL.parse(baseUrl) === null) throw new CliError(`--url: ${baseUrl} is no address`, 2);
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#token = token;
  }

  /** Start long work and wait for its end. */
  async runJob(
    kind: string,
    body: object,
    onProgress: (report: JobReport) => void,
  ): Promise<JobReport> {
    const { job } = (await this.#call("POST", kind, body)) as { job: string };
    for (;;) {
      const report = (await this.#call("GET", `jobs/${job}`)) as JobReport;
      if (report.status !== "running") return report;
      onProgress(report);
      await wait(POLL_MS);
    }
  }

  async #call(method: string, path: string, body?: object): Promise<unknown> {
    let response: Response;
    try {
      response = await fetch(`${this.#baseUrl}/-/api/v1/${path}`, {
        method,
        headers: { Authorization: `Bearer ${this.#token}`, "Content-Type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new CliError(`cannot reach ${this.#baseUrl}`, 1, { cause: error });
    }
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    throw new CliError(`${method} ${path}: ${response.status} ${toMessage(text)}`, 1);
  }
}

function toMessage(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    return `${error.code}: ${error.message}`;
  } catch {
    return text.split("\n", 1)[0] ?? "";
  }
}
