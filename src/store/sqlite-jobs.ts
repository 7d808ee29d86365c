/** One long piece of work, done in steps. */
export interface Job {
  readonly job: string;
  readonly kind: string;
  readonly status: "running" | "done" | "failed";
  /** Where the next step goes on; null at the start. */
  readonly cursor: string | null;
  readonly files: number;
  readonly modules: number;
  readonly error: string | null;
  /** What was asked for beside the kind, as JSON. */
  readonly options: string;
  /** How many files were found damaged. */
  readonly damaged: number;
  /** The first of them, as a JSON array. */
  readonly damages: string;
}

type JobRow = { [K in keyof Job]: Job[K] };

// Finished jobs are kept for whoever asks after them.
const KEPT_JOBS = 100;

/** The jobs of the deployment and how far they are; they survive a restart. */
export class SqliteJobs {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS jobs (
      number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT UNIQUE, kind TEXT, status TEXT,
      cursor TEXT, files INTEGER, modules INTEGER, error TEXT, options TEXT,
      damaged INTEGER, damages TEXT)`);
  }

  start(job: string, kind: string, options: object): void {
    this.#sql.exec(
      `INSERT INTO jobs (job, kind, status, files, modules, options, damaged, damages)
       VALUES (?, ?, 'running', 0, 0, ?, 0, '[]')`,
      job,
      kind,
      JSON.stringify(options),
    );
    this.#sql.exec(
      `DELETE FROM jobs WHERE status <> 'running' AND number <= (SELECT max(number) FROM jobs) - ?`,
      KEPT_JOBS,
    );
  }

  read(job: string): Job | undefined {
    return this.#select("job = ?", job)[0];
  }

  running(): Job[] {
    return this.#select("status = ?", "running");
  }

  save(job: Job): void {
    this.#sql.exec(
      `UPDATE jobs SET status = ?, cursor = ?, files = ?, modules = ?, error = ?, damaged = ?,
         damages = ? WHERE job = ?`,
      job.status,
      job.cursor,
      job.files,
      job.modules,
      job.error,
      job.damaged,
      job.damages,
      job.job,
    );
  }

  #select(where: "job = ?" | "status = ?", value: string): Job[] {
    return this.#sql
      .exec<JobRow>(
        `SELECT job, kind, status, cursor, files, modules, error, options, damaged, damages FROM jobs WHERE ${where}`,
        value,
      )
      .toArray();
  }
}
