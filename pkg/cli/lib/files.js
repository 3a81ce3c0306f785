// Files are written all or none: what a command would write is a list of changes, shown first and then carried out.

import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { Help } from "./help.js";

const REASONS = { EACCES: "permission denied", EPERM: "permission denied", EROFS: "the file system is read-only", ENOSPC: "no space is left", ENOTDIR: "a part of its path is a file", EISDIR: "it is a folder" };

/** Why a file can't be used, in words. */
export const because = (error) => REASONS[error.code] ?? error.message;

/** A path as the reader knows it. */
export const shown = (cwd, path) => relative(cwd, path) || ".";

// A byte order mark stays: it is written back.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a file, or null if it isn't there. */
export function read(path) {
  try {
    return utf8.decode(readFileSync(path));
  } catch (error) {
    if (error.code === "ENOENT") return null;
    if (error instanceof TypeError) throw new Help(`can't read \`${path}\`: it is not UTF-8`);
    throw new Help(`can't read \`${path}\`: ${because(error)}`);
  }
}

const isLink = (path) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();

/** Makes the folder and gives the topmost one that was not there, or undefined. */
const makeFolder = (path) => mkdirSync(path, { recursive: true });

/**
 * Writes every `{ path, before, after, mode }`, or nothing. `before` is the text that the change was made from, null for a new file: if
 * it is another one by now, somebody else wrote meanwhile. No `await` is in here, so a signal comes before or after all of it.
 */
export function writeAll(changes) {
  const undo = [];
  let current;
  try {
    const ready = changes.map(({ path, before, after, mode }) => {
      current = path;
      if (read(path) !== before) throw new Help(`\`${path}\` was changed meanwhile: nothing was written, try again`);
      const target = isLink(path) ? realpathSync(path) : path;
      const made = makeFolder(dirname(target));
      if (made) undo.push(() => rmSync(made, { recursive: true, force: true }));
      // Beside the file, so that to rename it is one step.
      const temporary = join(dirname(target), `.stale-drafts-${randomBytes(6).toString("hex")}.tmp`);
      undo.push(() => rmSync(temporary, { force: true }));
      writeFileSync(temporary, after, { mode: existsSync(target) ? statSync(target).mode & 0o777 : (mode ?? 0o666), flag: "wx" });
      return { target, temporary, before };
    });
    for (const { target, temporary, before } of ready) {
      current = target;
      renameSync(temporary, target);
      undo.push(() => (before === null ? rmSync(target, { force: true }) : writeFileSync(target, before)));
    }
  } catch (error) {
    for (const step of undo.reverse()) {
      try {
        step();
      } catch {
        // The first failure says more.
      }
    }
    if (error instanceof Help) throw error;
    throw new Help(`can't write \`${current}\`: ${because(error)}. Nothing was changed.`);
  }
}
