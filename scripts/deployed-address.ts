/** One line of wrangler's machine-readable output. */
interface OutputLine {
  readonly type: string;
  readonly targets?: readonly string[];
}

/**
 * The address at which a deployment can be tried.
 *
 * @param output What wrangler wrote to `WRANGLER_OUTPUT_FILE_PATH`: a JSON object a line.
 * @returns The first target that is one host; schedules and wildcard routes are none.
 */
export function deployedAddress(output: string): string | undefined {
  const lines = output.split("\n").filter((line) => line !== "");
  const entries = lines.map((line) => JSON.parse(line) as OutputLine);
  const targets = entries.findLast(({ type }) => type === "deploy")?.targets ?? [];
  const addresses = targets.map((target) =>
    target.replace(/^(\S+) \(custom domain\b.*\)$/, "https://$1"),
  );
  return addresses.find((address) => /^https:\/\/[^\s*/]+$/.test(address));
}
