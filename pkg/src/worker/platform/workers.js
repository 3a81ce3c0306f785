// In a Worker: the Rust Worker, as a module that the platform has compiled, and what the platform brings.

// A namespace: what an older runtime lacks is no reason not to load.
import * as workers from "cloudflare:workers";
import Core from "#core";
import { share } from "./shared.js";

const waitUntil = (promise) => workers.waitUntil(promise);
share({ Core, waitUntil });

export { Core, waitUntil };
export const { WorkerEntrypoint } = workers;
/** A binding as the Rust Worker takes it. */
export const native = (name, binding) => binding;
