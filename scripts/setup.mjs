// Installs what building and testing need, and says so: npm packages, the wasm32 target, wasm-bindgen at the
// version in Cargo.lock, worker-build. Everything comes from npm, crates.io and the distribution's packages.

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Help, atLeast, capture, lockedVersion, newest, note, root, run, sh, step, which } from "./lib.mjs";

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
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const wanted = engines.node.replace(">=", "");
  if (!atLeast(process.versions.node, wanted)) {
    throw new Help(`Node ${process.versions.node} is too old: ${wanted} or newer is needed. Install it from your distribution or with a version manager such as nvm.`);
  }
}

async function checkRust() {
  const wanted = readFileSync(join(root, "Cargo.toml"), "utf8").match(/rust-version = "([^"]+)"/)[1];
  const { code, output } = await capture("rustc", ["--version"]);
  if (code !== 0 || !which(`cargo${exe}`)) {
    throw new Help(`Rust is missing: ${wanted} or newer is needed. Install it with rustup (https://rustup.rs) or from your distribution.`);
  }
  const version = output.match(/rustc (\d+\.\d+\.\d+)/)?.[1] ?? "0";
  if (!atLeast(version, wanted)) {
    throw new Help(`Rust ${version} is too old: ${wanted} or newer is needed. Run \`rustup update\`, or install a newer one from your distribution.`);
  }
}

async function installPackages() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (existsSync(installed) && newest(installed) >= newest("package-lock.json")) return;
  step("Installing the npm packages of package-lock.json (about 10 s)");
  await sh("npm", ["ci", "--no-audit", "--no-fund"], { help: OFFLINE });
}

async function installTarget() {
  const target = "wasm32-unknown-unknown";
  const sysroot = (await capture("rustc", ["--print", "sysroot"])).output.trim();
  if (existsSync(join(sysroot, "lib/rustlib", target))) return;
  step(`Adding Rust's ${target} target`);
  if (!which(`rustup${exe}`)) {
    throw new Help(`Rust's ${target} target is missing, and there is no rustup to add it with. Install your distribution's package for it (Debian: libstd-rust-dev-wasm32, Fedora: rust-std-static-wasm32-unknown-unknown).`);
  }
  await sh("rustup", ["target", "add", target], { help: OFFLINE });
}

/** worker-build links against OpenSSL, whose headers a bare Linux lacks. */
async function installOpenSsl() {
  if (process.platform !== "linux" || (await capture("pkg-config", ["--exists", "openssl"])).code === 0) return;
  step("Installing OpenSSL's headers, which worker-build is compiled against");
  await aptInstall(["pkg-config", "libssl-dev"], "OpenSSL's headers and pkg-config are missing. Install them (Debian, Ubuntu: pkg-config libssl-dev; Fedora: pkgconf openssl-devel).");
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
 * optimising them takes five minutes longer than it saves.
 */
async function installTools() {
  const folder = toolsFolder();
  const target = join(folder, "target");
  mkdirSync(join(folder, "bin"), { recursive: true });
  if (!existsSync(tool("wasm-bindgen-test-runner"))) {
    step(`Compiling wasm-bindgen ${lockedVersion("wasm-bindgen")} (about 1 minute on two cores, once)`);
    await sh("cargo", ["build", "--locked", "-p", "stale-drafts-tools", "--profile", "tools", "--target-dir", target], { help: OFFLINE });
    // rustc takes any crate called wasm_bindgen for the library, so ours are named without the prefix.
    for (const name of ["bindgen", "bindgen-test-runner"]) cpSync(join(target, "tools", name + exe), tool(`wasm-${name}`));
  }
  if (!existsSync(tool("worker-build"))) {
    await installOpenSsl();
    const version = lockedVersion("worker");
    step(`Compiling worker-build ${version} (about 1½ minutes on two cores, once)`);
    await sh("cargo", ["install", "worker-build", "--version", version, "--locked", "--debug", "--root", folder, "--target-dir", target], {
      env: { CARGO_PROFILE_DEV_DEBUG: "0", CARGO_INCREMENTAL: "0" },
      help: OFFLINE,
    });
  }
  rmSync(target, { recursive: true, force: true });
}

export async function setup() {
  checkNode();
  await checkRust();
  await installPackages();
  await installTarget();
  await installTools();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await run(setup);
