import { ProxyError } from "../errors/proxy-error.ts";
import type { FileRequest, MutableRequest } from "../module/request.ts";
import type {
  Coordinators,
  FileOptions,
  FileOutcome,
  MutableOptions,
  MutableOutcome,
  Scope,
} from "../proxy/ports.ts";

/** A fixed number, so that asking for modules that do not exist creates nothing. */
const COORDINATOR_COUNT = 256;

/** The calls of a coordinator as they cross to its Durable Object. */
export interface CoordinatorCalls {
  file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome>;
  mutable(scope: Scope, request: MutableRequest, options: MutableOptions): Promise<MutableOutcome>;
  recheck(scope: Scope, request: FileRequest): Promise<void>;
}

/** Name of the coordinator that owns a module: FNV-1a over scope and path. */
export function coordinatorName(scope: Scope, escapedPath: string): string {
  let hash = 0x811c9dc5;
  for (const character of `${scope}/${escapedPath}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  }
  return `coordinator-${(hash >>> 0) % COORDINATOR_COUNT}`;
}

/** Reaches the coordinators; a call that met a moved or restarted one is repeated once. */
export class CoordinatorClient implements Coordinators {
  readonly #find: (name: string) => CoordinatorCalls;

  constructor(find: (name: string) => CoordinatorCalls) {
    this.#find = find;
  }

  async file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome> {
    return await this.#call(scope, request.escapedPath, (coordinator) =>
      coordinator.file(scope, request, options),
    );
  }

  async mutable(
    scope: Scope,
    request: MutableRequest,
    options: MutableOptions,
  ): Promise<MutableOutcome> {
    return await this.#call(scope, request.escapedPath, (coordinator) =>
      coordinator.mutable(scope, request, options),
    );
  }

  async recheck(scope: Scope, request: FileRequest): Promise<void> {
    await this.#call(scope, request.escapedPath, (coordinator) =>
      coordinator.recheck(scope, request),
    );
  }

  async #call<T>(
    scope: Scope,
    escapedPath: string,
    call: (coordinator: CoordinatorCalls) => Promise<T>,
  ): Promise<T> {
    const name = coordinatorName(scope, escapedPath);
    try {
      return await call(this.#find(name));
    } catch {
      try {
        return await call(this.#find(name));
      } catch (error) {
        throw new ProxyError("unavailable", "the module's coordinator cannot be reached", {
          cause: error,
        });
      }
    }
  }
}
