import type { RunningServer } from "./start-server.ts";

/** A line of the log that a person has to look at. */
export type Alert = Readonly<Record<string, unknown>>;

/** All alerts that a server has written so far, or those of one kind. */
export function alertsOf({ process: { stdout } }: RunningServer, action?: string): Alert[] {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Alert)
    .filter((line) => line["event.kind"] === "alert")
    .filter((line) => action === undefined || line["event.action"] === action);
}
