import { createHash } from "node:crypto";
import { ProxyError } from "../errors/proxy-error.ts";
import { MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES } from "./constants.ts";
import { concatBytes, encodeUtf8, toBase64, tryFromBase64 } from "./encoding.ts";

const ALGORITHM_ED25519 = 1;
const ED25519_KEY_BYTES = 32;
const SIGNATURE_PREFIX = "\u2014 ";
/** DER of a PKCS #8 Ed25519 key up to the seed, the only private form that WebCrypto reads. */
const PKCS8_ED25519_PREFIX = Uint8Array.from(
  // SEQUENCE, version 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING (32) }
  [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
);

/** A public key that notes are checked with. */
export interface Verifier {
  /** Name of the signer, for example `sum.golang.org`; may hold slashes. */
  readonly name: string;
  /** First four bytes of the hash of name and key, as a number. */
  readonly keyHash: number;
  /** Raw Ed25519 key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** A private key that notes are signed with. */
export interface Signer {
  /** The public half; its text form is {@link formatVerifierKey}. */
  readonly verifier: Verifier;
  readonly privateKey: CryptoKey;
}

/** A note with at least one good signature. */
export interface OpenedNote {
  /** The signed text, with its final newline. */
  readonly text: string;
  /** Verifiers whose signature was good, in order of appearance. */
  readonly verifiedBy: readonly Verifier[];
}

/**
 * Read a verifier key, `name+hash+base64`.
 *
 * @param key - text of an operator's configuration or of {@link DEFAULT_VERIFIER_KEY}.
 * @throws {ProxyError} invalid_config - malformed, another algorithm, or a hash of another key.
 * @source note.NewVerifier
 */
export function parseVerifierKey(key: string): Verifier {
  const { name, keyHash, keyBytes } = parseKeyFields(key, "verifier key");
  const publicKey = keyBytes.slice(1);
  if (keyHash !== computeKeyHash(name, publicKey)) {
    throw new ProxyError("invalid_config", "verifier key: its hash belongs to another key or name");
  }
  return { name, keyHash, publicKey };
}

/** Text of a verifier key: the inverse of {@link parseVerifierKey}. @source note.NewEd25519VerifierKey */
export function formatVerifierKey(verifier: Verifier): string {
  return `${verifier.name}+${formatKeyHash(verifier.keyHash)}+${encodeKey(verifier.publicKey)}`;
}

/**
 * Read a signer key, `PRIVATE+KEY+name+hash+base64`.
 *
 * @param key - a secret; no part of it gets into an error text.
 * @throws {ProxyError} invalid_config - malformed, another algorithm, or a hash of another key.
 * @source note.NewSigner
 */
export async function parseSignerKey(key: string): Promise<Signer> {
  const prefix = "PRIVATE+KEY+";
  if (!key.startsWith(prefix)) {
    throw new ProxyError("invalid_config", `signer key: must begin with ${prefix}`);
  }
  const { name, keyHash, keyBytes } = parseKeyFields(key.slice(prefix.length), "signer key");
  const signer = await importSigner(name, keyBytes.slice(1));
  if (signer.verifier.keyHash !== keyHash) {
    throw new ProxyError("invalid_config", "signer key: its hash belongs to another key or name");
  }
  return signer;
}

/**
 * Make a new key pair for a database.
 *
 * @param name - of the database: not empty, no white space, no `+`.
 * @param seed - 32 bytes from a cryptographic source of random numbers.
 * @returns both keys as text; the signer key is a secret.
 * @throws {ProxyError} invalid_config - the name is not valid.
 * @throws {TypeError} the seed has another length.
 * @source note.GenerateKey
 */
export async function generateKey(
  name: string,
  seed: Uint8Array,
): Promise<{ signerKey: string; verifierKey: string }> {
  if (!isValidName(name)) {
    throw new ProxyError("invalid_config", "database name: must be without white space and +");
  }
  if (seed.length !== ED25519_KEY_BYTES) throw new TypeError("a key is made of 32 bytes");
  const { verifier } = await importSigner(name, seed);
  const signerKey = `PRIVATE+KEY+${name}+${formatKeyHash(verifier.keyHash)}+${encodeKey(seed)}`;
  return { signerKey, verifierKey: formatVerifierKey(verifier) };
}

/**
 * Check a note's signatures and return its text.
 *
 * Lines of unknown signers are skipped; a bad signature of a known one refuses the note even when
 * another is good.
 *
 * @param message - the whole note, decoded from valid UTF-8, unverified.
 * @param verifiers - at most one per name and key hash.
 * @throws {ProxyError} sumdb_invalid - malformed, a bad signature, or none by a known signer.
 * @source note.Open
 */
export async function openNote(
  message: string,
  verifiers: readonly Verifier[],
): Promise<OpenedNote> {
  if (message.length > MAX_NOTE_BYTES || hasControlCharacter(message)) {
    throw malformedNote("too long or with control characters");
  }
  // The last blank line is the border: the text itself may hold blank lines.
  const border = message.lastIndexOf("\n\n");
  if (border < 0 || !message.endsWith("\n") || message.length === border + 2) {
    throw malformedNote("no signature block");
  }
  const text = message.slice(0, border + 1);
  const lines = message.slice(border + 2, -1).split("\n");
  if (lines.length > MAX_NOTE_SIGNATURES) throw malformedNote("too many signatures");

  const signatures = lines.map(parseSignatureLine);
  const verifiedBy: Verifier[] = [];
  for (const { name, keyHash, signature } of signatures) {
    const verifier = verifiers.find((known) => known.name === name && known.keyHash === keyHash);
    if (verifier === undefined || verifiedBy.includes(verifier)) continue;
    if (!(await isSignedBy(verifier, text, signature))) {
      throw new ProxyError(
        "sumdb_invalid",
        `note has an invalid signature of key ${name}+${formatKeyHash(keyHash)}`,
      );
    }
    verifiedBy.push(verifier);
  }
  if (verifiedBy.length === 0) {
    throw new ProxyError("sumdb_invalid", "note is not signed by the configured key");
  }
  return { text, verifiedBy };
}

/**
 * Sign a text and return the whole note.
 *
 * @param text - ends in a newline and has no other control character.
 * @throws {TypeError} the text cannot be a note's.
 * @source note.Sign
 */
export async function signNote(text: string, signer: Signer): Promise<string> {
  if (!text.endsWith("\n") || hasControlCharacter(text)) {
    throw new TypeError("note text must end in a newline and hold no other control character");
  }
  const { name, keyHash } = signer.verifier;
  const signed = await crypto.subtle.sign("Ed25519", signer.privateKey, encodeUtf8(text));
  const hashBytes = new Uint8Array(4);
  new DataView(hashBytes.buffer).setUint32(0, keyHash);
  const signature = toBase64(concatBytes(hashBytes, new Uint8Array(signed)));
  return `${text}\n${SIGNATURE_PREFIX}${name} ${signature}\n`;
}

function parseKeyFields(
  key: string,
  what: string,
): { name: string; keyHash: number; keyBytes: Uint8Array } {
  const fields = /^([^+]*)\+([0-9a-fA-F]{8})\+(.*)$/s.exec(key);
  const [, name = "", hashText = "", keyText = ""] = fields ?? [];
  const keyBytes = tryFromBase64(keyText);
  if (!isValidName(name) || keyBytes?.length !== ED25519_KEY_BYTES + 1) {
    throw new ProxyError("invalid_config", `${what}: must be name+hash+key`);
  }
  if (keyBytes[0] !== ALGORITHM_ED25519) {
    throw new ProxyError("invalid_config", `${what}: its algorithm is not Ed25519`);
  }
  return { name, keyHash: Number.parseInt(hashText, 16), keyBytes };
}

function parseSignatureLine(line: string): {
  name: string;
  keyHash: number;
  signature: Uint8Array;
} {
  const space = line.indexOf(" ", SIGNATURE_PREFIX.length);
  const name = line.slice(SIGNATURE_PREFIX.length, space);
  const bytes = tryFromBase64(line.slice(space + 1));
  const isLine = line.startsWith(SIGNATURE_PREFIX) && space > 0 && isValidName(name);
  if (!isLine || bytes === undefined || bytes.length < 5) {
    throw malformedNote("a line of the signature block is no signature");
  }
  const keyHash = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return { name, keyHash, signature: bytes.slice(4) };
}

async function isSignedBy(
  verifier: Verifier,
  text: string,
  signature: Uint8Array,
): Promise<boolean> {
  const key = await crypto.subtle.importKey("raw", verifier.publicKey, "Ed25519", false, [
    "verify",
  ]);
  return crypto.subtle.verify("Ed25519", key, signature, encodeUtf8(text));
}

async function importSigner(name: string, seed: Uint8Array): Promise<Signer> {
  const pkcs8 = concatBytes(PKCS8_ED25519_PREFIX, seed);
  // Extractable, since only an export tells the public key that belongs to a seed.
  const extractable = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const exported = await crypto.subtle.exportKey("jwk", extractable);
  const encoded = "x" in exported ? exported.x : undefined;
  const publicKey = tryFromBase64(`${encoded?.replaceAll("-", "+").replaceAll("_", "/")}=`);
  if (publicKey === undefined) throw new TypeError("the platform exported no public key");
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
  return {
    verifier: { name, keyHash: computeKeyHash(name, publicKey), publicKey },
    privateKey,
  };
}

function computeKeyHash(name: string, publicKey: Uint8Array): number {
  return createHash("sha256")
    .update(`${name}\n`)
    .update(Uint8Array.of(ALGORITHM_ED25519))
    .update(publicKey)
    .digest()
    .readUInt32BE(0);
}

function encodeKey(key: Uint8Array): string {
  return toBase64(concatBytes(Uint8Array.of(ALGORITHM_ED25519), key));
}

function formatKeyHash(keyHash: number): string {
  return keyHash.toString(16).padStart(8, "0");
}

function isValidName(name: string): boolean {
  return name !== "" && !/[\s\u0085+]/u.test(name);
}

function hasControlCharacter(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u0009\u000b-\u001f]/.test(text);
}

function malformedNote(problem: string): ProxyError {
  return new ProxyError("sumdb_invalid", `malformed note: ${problem}`);
}
