import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

const FOLDER = join(import.meta.dirname, "../../oracle-sumdb");

/** What the Go program of `test/oracle-sumdb` is asked; see its `request`. */
export interface OracleRequest {
  readonly op: string;
  readonly size?: number;
  readonly older?: number;
  readonly id?: number;
  readonly height?: number;
  readonly level?: number;
  readonly index?: number;
  readonly width?: number;
  readonly path?: string;
  readonly key?: string;
  readonly text?: string;
  readonly url?: string;
  readonly modules?: readonly { readonly path: string; readonly version: string }[];
  readonly config?: Readonly<Record<string, string>>;
}

/** What it answers; hashes and bytes in base64. */
export interface OracleAnswer {
  readonly error?: string;
  readonly text?: string;
  readonly number: number;
  readonly hashes?: readonly string[];
  readonly bytes?: string;
  readonly lines?: readonly (readonly string[] | null)[];
  readonly errors?: readonly string[];
  readonly config?: Readonly<Record<string, string>>;
}

/** Whether the go command is there to build the oracle with. */
export function hasGo(): boolean {
  return spawnSync("go", ["version"]).status === 0;
}

/** golang.org/x/mod/sumdb itself, in a process that answers one line of JSON with another. */
export class Oracle {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #last: Promise<unknown> = Promise.resolve();

  constructor() {
    this.#process = spawn("go", ["run", "."], {
      cwd: FOLDER,
      env: { ...process.env, GOFLAGS: "-mod=mod" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdout } = this.#process;
    if (stdout === null) throw new TypeError("the oracle has no output");
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** Ask one question; several at once are asked one after the other. */
  ask(request: OracleRequest): Promise<OracleAnswer> {
    const answer = this.#last.then(async () => {
      this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await this.#answers.next();
      if (done === true) throw new Error("the oracle has ended");
      return JSON.parse(value) as OracleAnswer;
    });
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  /** The program ends with its input. */
  close(): void {
    this.#process.stdin?.end();
  }
}
