import { spawnSync } from "node:child_process";
import { dirname, basename } from "node:path";

const git = (path, ...args) => spawnSync("git", [...args, basename(path)], { cwd: dirname(path), stdio: "ignore" }).status;

/** Whether git keeps the file in its history. */
export const isTracked = (path) => git(path, "ls-files", "--error-unmatch") === 0;

/** Whether git leaves the file out; undefined where there is no repository, or no git. */
export function isIgnored(path) {
  const code = git(path, "check-ignore", "--quiet");
  return code === 0 ? true : code === 1 ? false : undefined;
}
