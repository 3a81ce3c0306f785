// Installs what building and testing need, and says so: npm packages, wasm-bindgen at the version in Cargo.lock, worker-build.
// Everything comes from npm, crates.io and the distribution's packages; rust-toolchain.toml says what Rust needs.

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Help, capture, lockedVersion, newest, note, root, run, sh, timed, which } from "./lib.mjs";

const OFFLINE = "This step downloads. Check the network (and any proxy), then run the same command again: what is done is kept.";
const exe = process.platform === "win32" ? ".exe" : "";

/** The tools' versions are in the folder's name, so a change of version builds them anew beside the old ones. */
function toolsFolder() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const name = `wasm-bindgen-${lockedVersion("wasm-bindgen")}-worker-build-${lockedVersion("worker")}`;
  return join(process.env.STALE_DRAFTS_TOOLS || join(cache, "stale-drafts"), name);
}

export const tool = (name) => join(toolsFolder(), "bin", name + exe);

function checkNode() {
  const oldest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).engines.node.replace(">=", "");
  if (process.versions.node.localeCompare(oldest, "en", { numeric: true }) < 0) {
    throw new Help(`Node ${process.versions.node} is too old: ${oldest} or newer is needed. Install it from your distribution or with a version manager such as nvm.`);
  }
}

/** With rustup, the first question installs what rust-toolchain.toml names. Cargo itself says if it is too old. */
async function checkRust() {
  const { code, output } = await capture("rustc", ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]);
  if (code === 127) throw new Help("Rust is missing. Install it with rustup (https://rustup.rs) or from your distribution.");
  if (code !== 0) throw new Help(`\`rustc\` does not work: ${output.trim()}`);
  if (!existsSync(output.trim().split("\n").at(-1))) {
    throw new Help("Rust's target wasm32-unknown-unknown is missing. Add it: rustup target add wasm32-unknown-unknown. Without rustup, install your distribution's package for it (Debian: libstd-rust-dev-wasm32, Fedora: rust-std-static-wasm32-unknown-unknown).");
  }
}

let checked;
/** Checks Node and Rust, once. */
export function checkMachine() {
  checkNode();
  return (checked ??= checkRust());
}

async function installPackages() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (existsSync(installed) && newest(installed) >= newest("package-lock.json")) return;
  await timed("Installing the npm packages of package-lock.json", () => sh("npm", ["ci", "--no-audit", "--no-fund"], { help: OFFLINE, quiet: true }));
}

/** worker-build links against OpenSSL, whose headers a bare Linux lacks. */
async function installOpenSsl() {
  if (process.platform !== "linux" || (await capture("pkg-config", ["--exists", "openssl"])).code === 0) return;
  const help = "OpenSSL's headers and pkg-config are missing. Install them (Debian, Ubuntu: pkg-config libssl-dev; Fedora: pkgconf openssl-devel).";
  await timed("Installing OpenSSL's headers, which worker-build is compiled against", () => aptInstall(["pkg-config", "libssl-dev"], help));
}

/** Installs packages where apt-get can be used without a password; otherwise says what to install. */
export async function aptInstall(packages, help) {
  const asRoot = process.getuid?.() === 0;
  const sudo = !asRoot && (await capture("sudo", ["-n", "true"])).code === 0;
  if (!which("apt-get") || !(asRoot || sudo)) throw new Help(help);
  const apt = (...args) => sh(sudo ? "sudo" : "apt-get", sudo ? ["-n", "apt-get", ...args] : args, { env: { DEBIAN_FRONTEND: "noninteractive" }, help, quiet: true });
  note(`apt-get install ${packages.join(" ")}`);
  await apt("update", "-qq");
  await apt("install", "-y", "-qq", "--no-install-recommends", ...packages);
}

/**
 * The two tools are compiled once for all clones of this project, without optimisation: they run for seconds, and
 * optimising them takes five minutes longer than it saves. They share a folder, and so the crates that both use.
 */
async function installTools() {
  const folder = toolsFolder();
  const target = join(folder, "target");
  const options = { env: { CARGO_PROFILE_DEV_DEBUG: "0", CARGO_INCREMENTAL: "0" }, help: OFFLINE, quiet: true };
  mkdirSync(join(folder, "bin"), { recursive: true });
  if (!existsSync(tool("wasm-bindgen-test-runner"))) {
    // Not by `cargo install`: our own Cargo.lock pins it and all that it is made of, and its downloads, TLS among them, are left out.
    await timed(`Compiling wasm-bindgen ${lockedVersion("wasm-bindgen")}, once for this machine`, () => sh("cargo", ["build", "--locked", "-p", "stale-drafts-tools", "--target-dir", target], options));
    // rustc takes any crate called wasm_bindgen for the library, so ours are named without the prefix.
    for (const name of ["bindgen", "bindgen-test-runner"]) cpSync(join(target, "debug", name + exe), tool(`wasm-${name}`));
  }
  if (!existsSync(tool("worker-build"))) {
    await installOpenSsl();
    const version = lockedVersion("worker");
    await timed(`Compiling worker-build ${version}, once for this machine`, () => sh("cargo", ["install", `worker-build@${version}`, "--bin", "worker-build", "--locked", "--debug", "--root", folder, "--target-dir", target], options));
  }
  rmSync(target, { recursive: true, force: true });
}

let installed;
/** Installs what is missing, once. */
export async function setup() {
  await checkMachine();
  await (installed ??= Promise.all([installPackages(), installTools()]));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await run(setup);
