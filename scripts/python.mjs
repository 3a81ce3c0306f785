// The Python package: where its tests run, and what they need there.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Help, capture, note, root, sh, step } from "./lib.mjs";

const VERSIONS = ["3.10", "3.11", "3.12", "3.13"];
const FOLDER = join(root, "target/python");
const TESTS = join(root, "python/tests/requirements.txt");
// One Python is enough for them.
const TYPES = join(root, "python/tests/types.txt");
const MISSING = "Python 3.10 or newer with its `venv` is missing: the Python package is tested with it. Install it (Debian: python3-venv), or say where it is with PYTHON.";
const OFFLINE = "This step downloads. Check the network (and any proxy), then run the same command again.";

/** What the package is made of, as one word that changes with it. */
export function sources() {
  const files = readdirSync(join(root, "python/src"), { recursive: true }).filter((name) => /\.(py|typed)$/.test(name)).sort().map((name) => join("python/src", name));
  const hash = createHash("sha256");
  for (const file of ["python/pyproject.toml", ...files]) hash.update(`${file}\n${readFileSync(join(root, file), "utf8")}\n`);
  return hash.digest("hex");
}

/** Every Python of this machine that the package is for, one of each version: `PYTHON`, those on the PATH, and pyenv's. */
async function pythons() {
  const pyenv = join(process.env.PYENV_ROOT || join(homedir(), ".pyenv"), "versions");
  const installed = existsSync(pyenv) ? readdirSync(pyenv).map((name) => join(pyenv, name, "bin/python")) : [];
  const candidates = [process.env.PYTHON, ...VERSIONS.map((version) => `python${version}`), "python3", ...installed].filter(Boolean);
  const found = new Map();
  for (const command of candidates) {
    const { code, output } = await capture(command, ["-c", "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"]);
    const version = output.trim();
    if (code === 0 && VERSIONS.includes(version) && !found.has(version)) found.set(version, command);
  }
  if (found.size === 0) throw new Help(MISSING);
  const others = VERSIONS.filter((version) => !found.has(version));
  note(`The Python package is tested with Python ${[...found.keys()].sort().join(", ")}${others.length > 0 ? `; not on this machine: ${others.join(", ")}` : ""}`);
  return [...found].sort();
}

/** The package as it is installed: a wheel. */
async function wheel(base) {
  const folder = join(FOLDER, "wheel");
  rmSync(folder, { recursive: true, force: true });
  await sh(base, ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", folder, join(root, "python")], { help: OFFLINE, quiet: true });
  return join(folder, readdirSync(folder).find((name) => name.endsWith(".whl")));
}

/**
 * A virtual environment for each Python, with the wheel and its extras in it; made again when what is in it, or Python, has changed.
 * The first one also has what checks the types.
 */
export async function setupPython() {
  const environments = [];
  const made = sources();
  let built;
  for (const [version, base] of await pythons()) {
    const folder = join(FOLDER, `venv-${version}`);
    const python = join(folder, "bin/python");
    const [stamp, package_] = ["made-of.txt", "package.txt"].map((name) => join(folder, name));
    const lists = environments.length === 0 ? [TESTS, TYPES] : [TESTS];
    const { output } = await capture(base, ["-c", "import sys; print(sys.version, sys.base_prefix)"]);
    const rest = [output, ...[...lists, join(root, "python/pyproject.toml")].map((file) => readFileSync(file, "utf8"))].join("\n");
    const is = (file, text) => existsSync(file) && readFileSync(file, "utf8") === text;
    environments.push([version, python]);
    if (is(stamp, rest) && is(package_, made)) continue;
    step(`Installing the Python package for Python ${version} (about 20 s)`);
    built ??= await wheel(base);
    const install = (...args) => sh(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", ...args], { help: OFFLINE, quiet: true });
    if (!is(stamp, rest)) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      await sh(base, ["-m", "venv", folder], { help: MISSING, quiet: true });
      await install(...lists.flatMap((list) => ["-r", list]), `${built}[celery,flask]`);
      writeFileSync(stamp, rest);
    }
    // Its version stays the same while it is worked on.
    await install("--force-reinstall", "--no-deps", built);
    writeFileSync(package_, made);
  }
  return environments;
}
