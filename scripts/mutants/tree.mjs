// A copy of the project in which mutants are built and tested, one after the other. It stays, with what is compiled in it.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { applyPatch } from "diff";
import { Help, capture, root } from "../lib.mjs";

const BUILD_MS = 600_000;

export class Tree {
  constructor(name, build) {
    this.path = join(root, "target/mutants", name);
    this.build = build;
  }

  /** Copies the project into it. A file that is the same is not touched, since cargo looks at the times of files. */
  update() {
    const { status, stdout } = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"], { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
    if (status !== 0) throw new Help("git can't list the project's files: mutants are built in copies of a checkout.");
    const files = stdout.split("\0").filter((file) => file && existsSync(join(root, file)));
    mkdirSync(this.path, { recursive: true });
    const copied = join(this.path, "copied.json");
    for (const file of existsSync(copied) ? JSON.parse(readFileSync(copied, "utf8")) : []) if (!files.includes(file)) rmSync(join(this.path, file), { force: true });
    writeFileSync(copied, JSON.stringify(files));
    for (const file of files) {
      const [text, to] = [readFileSync(join(root, file)), join(this.path, file)];
      if (existsSync(to) && text.equals(readFileSync(to))) continue;
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, text);
    }
  }

  /** Builds tests; the paths of their programs by name, or the text of the error. */
  async compile(tests) {
    const args = ["test", "--locked", "--no-run", "--quiet", "--message-format=json", "--package", "stale-drafts", ...this.build, ...tests.flatMap((test) => ["--test", test])];
    const { code, output } = await capture("cargo", args, { cwd: this.path, timeout: BUILD_MS, env: { CARGO_TARGET_DIR: join(this.path, "target"), CARGO_PROFILE_DEV_DEBUG: "0", CARGO_PROFILE_TEST_DEBUG: "0" } });
    const messages = output.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    if (code !== 0) return { error: messages.map(({ message }) => message?.rendered).filter(Boolean).join("") || output };
    const built = messages.filter(({ reason, executable, profile }) => reason === "compiler-artifact" && executable && profile.test);
    return { programs: Object.fromEntries(built.map(({ target, executable }) => [target.name, executable])) };
  }

  /** Runs the stages on the code as it is in the copy, up to the first that fails. */
  async test(file, stages) {
    for (const { title, minutes, programs } of stages) {
      const asked = programs(file);
      if (asked.length === 0) continue;
      const built = await this.compile(asked.map(({ test }) => test));
      if (built.error) return { outcome: "unviable", said: built.error };
      for (const { test, args = [], env } of asked) {
        // One test that fails is enough, and a property that fails need not look for the shortest input.
        const { code, output, expired } = await capture(built.programs[test], args, {
          cwd: this.path,
          timeout: minutes * 60_000,
          until: /^test .* FAILED$/m,
          env: { PROPTEST_MAX_SHRINK_ITERS: "0", RUST_BACKTRACE: "0", ...env },
        });
        if (expired) return { outcome: "timeout", stage: title, said: output };
        if (code !== 0) return { outcome: "caught", stage: title, said: output };
      }
    }
    return { outcome: "missed" };
  }

  /** The same with a mutant in place of its file. */
  async judge({ file, diff }, stages) {
    const path = join(this.path, file);
    const text = readFileSync(path, "utf8");
    const changed = applyPatch(text, diff);
    if (changed === false) throw new Help(`cargo-mutants has read another ${file} than stands in ${this.path}: it has changed meanwhile.`);
    writeFileSync(path, changed);
    try {
      return await this.test(file, stages);
    } finally {
      writeFileSync(path, text);
    }
  }
}
