import type { ByteRange, Verified } from "./ports.ts";

/** A small whole answer, as the isolate's memory keeps it. */
export interface WholeAnswer {
  readonly kind: "whole";
  readonly body: string | Uint8Array;
  readonly sizeBytes: number;
  /** Lower-case hex SHA-256 of the body. */
  readonly sha256: string;
  readonly contentType: string;
  /** Whether the answer can never change. */
  readonly immutable: boolean;
}

/** A committed file that is read from storage on demand. */
export interface FileAnswer {
  readonly kind: "file";
  readonly verified: Verified;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly contentType: string;
  readonly immutable: true;
  /** Where the file lies: its scope and path. */
  readonly location: string;
  /** Whether the bytes in storage are those whose digest was right when they were last read. */
  isDigested(): Promise<boolean>;
  /** Open the body, or a slice of it; the caller reads or cancels it. */
  open(range?: ByteRange): Promise<ReadableStream<Uint8Array>>;
}

/** A zip that is still being stored: it has neither ETag nor Range. */
export interface LiveAnswer {
  readonly kind: "live";
  readonly sizeBytes: number | undefined;
  readonly contentType: string;
  readonly body: ReadableStream<Uint8Array>;
}

/** What a use case hands to the HTTP layer; everything else is thrown. */
export type Answer = WholeAnswer | FileAnswer | LiveAnswer;

/** Media types of the protocol's answers. */
export const CONTENT_TYPES = {
  list: "text/plain; charset=utf-8",
  latest: "application/json",
  query: "application/json",
  info: "application/json",
  mod: "text/plain; charset=utf-8",
  zip: "application/zip",
} as const;
