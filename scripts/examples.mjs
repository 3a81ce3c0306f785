// What the examples are tested with: a Redis server, Prometheus, and Python with the packages that they name.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Help, capture, root, sh, step, which } from "./lib.mjs";
import { sources } from "./python.mjs";
import { aptInstall } from "./setup.mjs";

const REDIS = "Redis is missing: the example for Celery is tested with it. Install it (Debian: redis-server), or say where it is with REDIS_SERVER.";
const PROMETHEUS = "Prometheus is missing: docs/grafana and docs/prometheus are tested with it. Install it (Debian: prometheus), or say where it and promtool are with PROMETHEUS and PROMTOOL.";
const PYTHON = "Python 3.10 or newer with its `venv` is missing: the example for Celery is tested with it. Install it (Debian: python3-venv), or say where it is with PYTHON.";
const OFFLINE = "This step downloads. Check the network (and any proxy), then run the same command again.";

/** Where the server is. Debian's package may also start one; the test has its own, on another port. */
async function redisServer() {
  const find = () => process.env.REDIS_SERVER || which("redis-server");
  if (!find()) {
    step("Installing Redis, with which the example for Celery is tested");
    await aptInstall(["redis-server"], REDIS);
  }
  const path = find();
  if (!path) throw new Help(REDIS);
  return path;
}

/** Where Prometheus and its tool are. */
async function prometheus() {
  const find = () => [process.env.PROMETHEUS || which("prometheus"), process.env.PROMTOOL || which("promtool")];
  if (!find().every(Boolean)) {
    step("Installing Prometheus, with which its rules and the dashboard for Grafana are tested");
    await aptInstall(["prometheus"], PROMETHEUS);
  }
  const paths = find();
  if (!paths.every(Boolean)) throw new Help(PROMETHEUS);
  return paths;
}

/** A virtual environment of Python with what the examples ask for; made again when that, or Python, has changed. */
async function celeryPython() {
  const folder = join(root, "target/examples/celery-venv");
  const python = join(folder, "bin/python");
  const stamp = join(folder, "made-of.txt");
  const base = process.env.PYTHON || "python3";
  const ask = () => capture(base, ["-c", "import sys; print(sys.version, sys.base_prefix); sys.exit(sys.version_info < (3, 10))"]);
  const lists = [...["celery", "cloud-run", "django", "fastapi"].map((name) => `examples/${name}/requirements.txt`), "tests/examples/requirements.txt"];
  const requirements = lists.map((list) => readFileSync(join(root, list), "utf8")).join("") + sources();
  const { output, code } = await ask();
  if (code === 1) throw new Help(`${PYTHON}\n  There is ${output.trim()}.`);
  if (code === 0 && existsSync(stamp) && readFileSync(stamp, "utf8") === output + requirements) return python;

  step("Installing the Python packages of the examples, a parser of metrics and a linter of Dockerfiles (about 30 s)");
  const make = async () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    return (await capture(base, ["-m", "venv", folder])).code === 0;
  };
  if (!(await make())) {
    await aptInstall(["python3-venv"], PYTHON);
    if (!(await make())) throw new Help(PYTHON);
  }
  await sh(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...lists.flatMap((list) => ["-r", join(root, list)])], {
    // The example names the package by a path, which pip reads from where it runs.
    cwd: join(root, "examples/celery"), help: OFFLINE, quiet: true,
  });
  writeFileSync(stamp, (await ask()).output + requirements);
  return python;
}

/** Installs Redis if it is missing, and tells the tests where it is. */
export async function setupRedis() {
  process.env.REDIS_SERVER = await redisServer();
}

/** Installs what is missing, and tells the tests where it is. */
export async function setupExamples() {
  await setupRedis();
  process.env.CELERY_PYTHON = await celeryPython();
  [process.env.PROMETHEUS, process.env.PROMTOOL] = await prometheus();
}
