import type { Scope } from "../proxy/ports.ts";

/** Where bytes wait that nobody has checked yet. */
export function stagingPrefix(): string {
  return "system/staging";
}

/** Key of one staged file. */
export function stagingKey(name: string): string {
  return `${stagingPrefix()}/${name}`;
}

/** Key of a damaged file that was moved out of reach. */
export function quarantineKey(scope: Scope, path: string, name: string): string {
  return `system/quarantine/${name}/${scope}/${path}`;
}
