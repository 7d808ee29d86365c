import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { SqliteIndex } from "../../src/store/sqlite-index.ts";

let count = 0;

/** An index in the storage of a Durable Object of its own, with a clock that the test moves. */
export async function withIndex(
  use: (parts: {
    index: SqliteIndex;
    again: () => SqliteIndex;
    clock: { nowMs: number };
    storage: DurableObjectStorage;
  }) => Promise<void>,
): Promise<void> {
  // A coordinator needs a configuration; a directory does not, and has none of these tables.
  const stub = env.DIRECTORY.getByName(`index-${count++}`);
  await runInDurableObject(stub as DurableObjectStub, async (_, { storage }) => {
    await storage.deleteAlarm();
    // Ahead of the machine's own, so that no alarm rings by itself.
    const clock = { nowMs: Date.now() + 86_400_000 };
    const again = (): SqliteIndex => new SqliteIndex(storage, () => clock.nowMs, true);
    await use({ index: again(), again, clock, storage });
    await storage.deleteAlarm();
  });
}
