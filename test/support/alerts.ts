import { eventually, type RunningServer } from "./start-server.ts";

const LINE_MS = 5000;

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

/** Whether a server writes so many alerts of a kind: a line may come after the answer it is about. */
export async function raises(server: RunningServer, action: string, count = 1): Promise<boolean> {
  return await eventually(() => alertsOf(server, action).length >= count, LINE_MS);
}
