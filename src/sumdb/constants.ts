/** The checksum database that the go command uses when nothing else is configured. */
export const DEFAULT_SUMDB_NAME = "sum.golang.org";

/**
 * Published verifier key of {@link DEFAULT_SUMDB_NAME}.
 *
 * @source cmd/go/internal/modfetch knownGOSUMDB
 */
export const DEFAULT_VERIFIER_KEY =
  "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/** Bytes of a SHA-256 hash, and so of one entry of a tile. @source tlog.HashSize */
export const HASH_SIZE = 32;

/** Height of the tiles of every deployed database. @source golang.org/design/25530-sumdb */
export const TILE_HEIGHT = 8;

/** Entries of a complete tile of height {@link TILE_HEIGHT}. */
export const TILE_WIDTH = 2 ** TILE_HEIGHT;

/**
 * Records above which a tree is refused.
 *
 * Indexes of stored hashes stay below twice this number, so all arithmetic on them is exact in a
 * double. The public database held 7·10^7 records in its seventh year.
 */
export const MAX_TREE_SIZE = 2 ** 50;

/** Highest level that a tile of a tree of {@link MAX_TREE_SIZE} records can have. */
export const MAX_TILE_LEVEL = 6;

/** Bytes above which a note is refused unread. @source tlog.ParseTree (len(text) > 1e6) */
export const MAX_NOTE_BYTES = 1e6;

/** Bytes above which a lookup answer is refused unread: a note and a record of the same size. */
export const MAX_LOOKUP_BYTES = 2 * MAX_NOTE_BYTES;

/** Signature lines above which a note is refused. @source note.Open (numSig > 100) */
export const MAX_NOTE_SIGNATURES = 100;

/** Authenticated tiles held in memory by one client; a full one has 8 KiB. */
export const DEFAULT_CACHED_TILES = 1024;

/** Times that a head move is tried again when another writer was faster. */
export const MAX_HEAD_MOVES = 8;
