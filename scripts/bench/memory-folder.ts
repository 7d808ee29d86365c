import { existsSync, statfsSync } from "node:fs";

const MEMORY_FOLDER = "/dev/shm";
const NEEDED_BYTES = 4e9;

/**
 * Where files go that are soon deleted: in memory, if that has the room.
 *
 * For minutes a file system is slow to make files where it has just lost many, and whoever came
 * next would be measured with that.
 *
 * @param otherwise A folder for them where memory has no room.
 */
export function toMemoryFolder(otherwise: string): string {
  if (!existsSync(MEMORY_FOLDER)) return otherwise;
  const { bavail, bsize } = statfsSync(MEMORY_FOLDER);
  return bavail * bsize > NEEDED_BYTES ? MEMORY_FOLDER : otherwise;
}
