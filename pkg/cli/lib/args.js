import { parseArgs } from "node:util";
import leven from "leven";
import { Usage } from "./help.js";

/** ", did you mean `…`?", if a name is near enough; else nothing. */
export function suggestion(given, names) {
  const [nearest] = names.map((name) => ({ name, distance: leven(given, name) })).sort((a, b) => a.distance - b.distance);
  return nearest && nearest.distance <= Math.max(2, given.length / 3) ? `, did you mean \`${nearest.name}\`?` : "";
}

/**
 * Flags and positional arguments, as `util.parseArgs` takes them: `options` has `type`, `short` and `default` of each flag, `most` is
 * the highest number of positional arguments. What is wrong is a `Usage` that says what would be right; `command` is named in it.
 */
export function parse(argv, { command, options, most = 0 }) {
  const known = { help: { type: "boolean", short: "h" }, ...options };
  const { values, positionals, tokens } = parseArgs({ args: argv, options: known, strict: false, allowPositionals: true, tokens: true });
  const more = `\n  \`${command} --help\` lists what it takes.`;
  for (const { kind, name, rawName, value } of tokens) {
    if (kind !== "option") continue;
    const option = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!option) throw new Usage(`unknown flag \`${rawName}\`${suggestion(rawName, Object.keys(known).map((key) => `--${key}`))}${more}`);
    if (option.type === "string" && (value === undefined || value === "")) throw new Usage(`\`${rawName}\` needs a value${more}`);
    if (option.type === "boolean" && value !== undefined) throw new Usage(`\`${rawName}\` takes no value, got \`${value}\`${more}`);
  }
  if (positionals.length > most) throw new Usage(`unexpected argument \`${positionals[most]}\`${more}`);
  for (const [name, { default: fallback }] of Object.entries(known)) values[name] ??= fallback;
  return { values, positionals };
}
