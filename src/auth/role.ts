/** What a caller of a team may do, from the least to the most. */
export const ROLES = ["reader", "publisher", "auditor", "admin"] as const;

/** One of {@link ROLES}. */
export type Role = (typeof ROLES)[number];

/**
 * Whether a role may read the team's modules.
 *
 * An auditor sees who did what, not the modules themselves.
 */
export function mayRead(role: Role): boolean {
  return role !== "auditor";
}
