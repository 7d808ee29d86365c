// Guarantee: an environment of wrangler inherits no binding, so a block that somebody forgets to
// change would deploy a Worker without its storage.
import { join, resolve } from "node:path";
import { describe, it } from "vitest";
import { unstable_readConfig } from "wrangler";

const CONFIG_FILE = join(resolve(import.meta.dirname, "../.."), "wrangler.toml");

function bindingsOf(env: string | undefined): unknown {
  const config = unstable_readConfig(
    { config: CONFIG_FILE, ...(env === undefined ? {} : { env }) },
    { hideWarnings: true },
  );
  return {
    vars: config.vars,
    buckets: config.r2_buckets,
    namespaces: config.kv_namespaces,
    objects: config.durable_objects.bindings,
    migrations: config.migrations,
    crons: config.triggers.crons,
    limits: config.limits,
  };
}

describe("wrangler.toml", () => {
  it.for(["staging", "production"])("%s has every binding of the top level", (env, { expect }) => {
    expect(bindingsOf(env)).toEqual(bindingsOf(undefined));
  });

  it("creates every Durable Object class that a binding names", ({ expect }) => {
    const config = unstable_readConfig({ config: CONFIG_FILE }, { hideWarnings: true });
    const created = config.migrations.flatMap(
      (step: { new_sqlite_classes?: string[] }) => step.new_sqlite_classes ?? [],
    );
    const bound = config.durable_objects.bindings.map(
      (binding: { class_name: string }) => binding.class_name,
    );

    expect(new Set(bound)).toEqual(new Set(created));
  });
});
