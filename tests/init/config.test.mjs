// Edits of wrangler's configuration: what is not touched keeps its bytes, comments and layout, in every way to write it.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unstable_readConfig as readConfig } from "wrangler";
import { edit, load } from "../../pkg/cli/lib/config/index.js";
import { folder } from "./harness.mjs";

const DATABASE = { binding: "MORE", database_name: "app", database_id: "1", migrations_table: "t" };
const EDITS = [
  { op: "push", path: ["triggers", "crons"], value: "* * * * *" },
  { op: "push", path: ["d1_databases"], value: DATABASE },
  { op: "add", path: ["vars", "STALE_DRAFTS"], value: { policy: { preset: "production" } } },
];

function edited(t, name, text, edits = EDITS) {
  const path = join(folder(t, { [name]: text }), name);
  const result = edit(load(path), edits);
  writeFileSync(path, result);
  return { result, path };
}

/** What wrangler itself reads from the edited file. */
function checkWithWrangler(path) {
  const { triggers, d1_databases: databases, vars } = readConfig({ config: path }, { hideWarnings: true });
  assert.equal(triggers.crons.at(-1), "* * * * *");
  assert.deepEqual(databases.at(-1), DATABASE);
  assert.deepEqual(vars.STALE_DRAFTS, { policy: { preset: "production" } });
}

const TABLE = `[[d1_databases]]
binding = "MORE"
database_name = "app"
database_id = "1"
migrations_table = "t"
`;
const VARS = `[vars.STALE_DRAFTS.policy]
preset = "production"
`;
const INLINE = '{ binding = "MORE", database_name = "app", database_id = "1", migrations_table = "t" }';

/** [what, before, after] */
const TOML = [
  ["tables with comments at every place", `# the app
name = "app" # its name

# when
[triggers]
crons = [
  "0 * * * *", # hourly, or so
  "5 4 * * *" # daily
]

[[d1_databases]] # the first
binding = "DB"
database_id = "2" # its id

# variables
[vars]
A = "x" # a

# the end`, `# the app
name = "app" # its name

# when
[triggers]
crons = [
  "0 * * * *", # hourly, or so
  "5 4 * * *", # daily
  "* * * * *"
]

[[d1_databases]] # the first
binding = "DB"
database_id = "2" # its id

${TABLE}
# variables
[vars]
A = "x" # a

# the end

${VARS}`],
  ["inline tables on one line", `name = "app"
triggers = { crons = ["0 * * * *"] } # when
d1_databases = [ { binding = "DB", database_id = "2" } ] # where
vars = { A = 1 }
`, `name = "app"
triggers = { crons = ["0 * * * *", "* * * * *"] } # when
d1_databases = [ { binding = "DB", database_id = "2" }, ${INLINE} ] # where
vars = { A = 1, STALE_DRAFTS = { policy = { preset = "production" } } }
`],
  ["dotted keys, and an array of inline tables over several lines", `name = "app"
triggers.crons = []
vars.A = 1
d1_databases = [
  # the first
  { binding = "DB", database_id = "2" }, # where, and why
  # no more
]
`, `name = "app"
triggers.crons = ["* * * * *"]
vars.A = 1
d1_databases = [
  # the first
  { binding = "DB", database_id = "2" }, # where, and why
  ${INLINE},
  # no more
]

${VARS}`],
  ["nothing of it, and an environment", `name = "app"

[env.staging]
name = "app-staging"
[[env.staging.d1_databases]]
binding = "DB"
`, `name = "app"

[env.staging]
name = "app-staging"
[[env.staging.d1_databases]]
binding = "DB"

[triggers]
crons = ["* * * * *"]

${TABLE}
${VARS}`],
  ["empty tables", `name = "app"
[triggers]
# none yet
[vars]
`, `name = "app"
[triggers]
crons = ["* * * * *"]
# none yet
[vars]

${TABLE}
${VARS}`],
  ["empty brackets", "name = 'app'\ntriggers = {}\nvars = {}\nd1_databases = []", `name = 'app'
triggers = { crons = ["* * * * *"] }
vars = { STALE_DRAFTS = { policy = { preset = "production" } } }
d1_databases = [${INLINE}]`],
  ["a bracket that holds only a comment", `name = "app"
d1_databases = [
  # none
]
`, `name = "app"
d1_databases = [
  # none
  ${INLINE}
]

[triggers]
crons = ["* * * * *"]

${VARS}`],
  ["a database between other tables", `name = "app"
[[d1_databases]]
binding = "DB"
database_id = "2"
# the bucket
[[r2_buckets]]
binding = "B"
bucket_name = "app-files"
`, `name = "app"
[[d1_databases]]
binding = "DB"
database_id = "2"

${TABLE}
# the bucket
[[r2_buckets]]
binding = "B"
bucket_name = "app-files"

[triggers]
crons = ["* * * * *"]

${VARS}`],
  ["texts that look like brackets and comments", `name = "app"
compatibility_date = '2026-07-01'
triggers = { crons = ["0 0 * * 1,2"] }
vars = { "A B" = "] # }", C = """
]]
[vars.STALE_DRAFTS]
""" }
`, `name = "app"
compatibility_date = '2026-07-01'
triggers = { crons = ["0 0 * * 1,2", "* * * * *"] }
vars = { "A B" = "] # }", C = """
]]
[vars.STALE_DRAFTS]
""", STALE_DRAFTS = { policy = { preset = "production" } } }

${TABLE}`],
];

for (const [what, before, after] of TOML) {
  test(`TOML: ${what}`, (t) => {
    const { result, path } = edited(t, "wrangler.toml", before);
    assert.equal(result, after);
    checkWithWrangler(path);
  });
}

const JSON_DATABASE = '{ "binding": "MORE", "database_name": "app", "database_id": "1", "migrations_table": "t" }';
const SPREAD = (indent, unit) => ["{", ...Object.entries(DATABASE).map(([key, value], index) => `${indent}${unit}"${key}": "${value}"${index < 3 ? "," : ""}`), `${indent}}`].join("\n");

const JSONC = [
  ["comments at every place", `{
  // the app
  "name": "app", /* its name */
  "triggers": { "crons": ["0 * * * *"] }, // when
  "d1_databases": [
    { "binding": "DB", "database_id": "2" } // the first
    // no more
  ],
  "vars": { "A": 1 } // variables
}
`, `{
  // the app
  "name": "app", /* its name */
  "triggers": { "crons": ["0 * * * *", "* * * * *"] }, // when
  "d1_databases": [
    { "binding": "DB", "database_id": "2" }, // the first
    ${SPREAD("    ", "  ")}
    // no more
  ],
  "vars": { "A": 1, "STALE_DRAFTS": { "policy": { "preset": "production" } } } // variables
}
`],
  ["tabs and trailing commas", `{
\t"name": "app",
\t"triggers": {
\t\t"crons": [
\t\t\t"0 * * * *", // hourly
\t\t],
\t},
\t"vars": {
\t\t"A": "}, //", /* a, comment,
\t\tover lines */
\t},
\t/* the end */
}`, `{
\t"name": "app",
\t"triggers": {
\t\t"crons": [
\t\t\t"0 * * * *", // hourly
\t\t\t"* * * * *",
\t\t],
\t},
\t"vars": {
\t\t"A": "}, //", /* a, comment,
\t\tover lines */
\t\t"STALE_DRAFTS": {
\t\t\t"policy": { "preset": "production" }
\t\t},
\t},
\t"d1_databases": [
\t\t${SPREAD("\t\t", "\t")}
\t],
\t/* the end */
}`],
  ["one line", '{ "name": "app" }', `{ "name": "app", "triggers": { "crons": ["* * * * *"] }, "d1_databases": [${JSON_DATABASE}], "vars": { "STALE_DRAFTS": { "policy": { "preset": "production" } } } }`],
  ["empty brackets, four blanks", `{
    "name": "app",
    "d1_databases": [],
    "vars": {},
    "triggers": {"crons": []}
}
`, `{
    "name": "app",
    "d1_databases": [
        ${SPREAD("        ", "    ")}
    ],
    "vars": {
        "STALE_DRAFTS": {
            "policy": { "preset": "production" }
        }
    },
    "triggers": {"crons": ["* * * * *"]}
}
`],
];

for (const [what, before, after] of JSONC) {
  test(`JSON: ${what}`, (t) => {
    const { result, path } = edited(t, "wrangler.jsonc", before);
    assert.equal(result, after);
    checkWithWrangler(path);
  });
}

for (const [name, before] of [["wrangler.toml", TOML[0][1]], ["wrangler.jsonc", JSONC[0][1]]]) {
  test(`${name} keeps its line ends and its byte order mark`, (t) => {
    const plain = edited(t, name, before).result;
    const { result } = edited(t, name, `\uFEFF${before.replaceAll("\n", "\r\n")}`);
    assert.equal(result, `\uFEFF${plain.replaceAll("\n", "\r\n")}`);
  });
}

test("an environment's own tables are added below it, whether it is written as a table or inline", (t) => {
  const edits = EDITS.map((one) => ({ ...one, path: ["env", "staging", ...one.path] }));
  const texts = [
    ["wrangler.toml", 'name = "app"\n[env.staging]\nname = "s"\n[env.production]\nname = "p"\n'],
    ["wrangler.toml", 'name = "app"\nenv = { staging = { name = "s" }, production = {} }\n'],
    ["wrangler.toml", 'name = "app"\n[env.staging.vars]\nA = 1\n[[env.staging.d1_databases]]\nbinding = "DB"\n[env.production]\n'],
    ["wrangler.jsonc", '{ "name": "app", "env": { "staging": {}, "production": {} } }'],
  ];
  for (const [name, text] of texts) {
    const { path, result } = edited(t, name, text, edits);
    const { triggers, d1_databases: databases, vars } = readConfig({ config: path, env: "staging" }, { hideWarnings: true });
    assert.deepEqual([triggers.crons, databases.at(-1), vars.STALE_DRAFTS], [["* * * * *"], DATABASE, { policy: { preset: "production" } }], result);
    assert.deepEqual(readConfig({ config: path, env: "production" }, { hideWarnings: true }).d1_databases, []);
  }
});

test("a text that can't be edited without a change of something else is refused, with what to add", (t) => {
  // Triggers made by a dotted key can't be extended by a table.
  const path = join(folder(t, { "wrangler.toml": 'name = "app"\ntriggers.other = 1\n' }), "wrangler.toml");
  assert.throws(() => edit(load(path), EDITS), (error) => {
    assert.equal(error.message, `\`wrangler.toml\` is written in a way that can't be edited without a change of something else. Add by hand:
  triggers.crons (one more): "* * * * *"
  d1_databases (one more): ${JSON.stringify(DATABASE)}
  vars.STALE_DRAFTS: {"policy":{"preset":"production"}}`);
    return true;
  });
});

for (const [name, text, message] of [
  ["wrangler.toml", 'name = "app"\nmain = \n', "`wrangler.toml` can't be read: line 3, column 1: Unspecified values are invalid\n  3 | \n    | ^\n  Nothing was changed."],
  ["wrangler.toml", 'name = "app"\nname = "b"\n', "`wrangler.toml` can't be read: line 2, column 1: Defining a key multiple times is invalid\n  2 | name = \"b\"\n    | ^\n  Nothing was changed."],
  ["wrangler.jsonc", '{\n  "name": "app"\n  "main": "x"\n}', "`wrangler.jsonc` can't be read: line 3, column 3: a comma is missing\n  3 |   \"main\": \"x\"\n    |   ^\n  Nothing was changed."],
  ["wrangler.jsonc", '{ "name": "app\n}', "`wrangler.jsonc` can't be read: line 1, column 11: a text without its closing quote\n  1 | { \"name\": \"app\n    |           ^\n  Nothing was changed."],
  ["wrangler.json", "", "`wrangler.json` can't be read: line 1, column 1: a value is missing\n  1 | \n    | ^\n  Nothing was changed."],
  ["wrangler.json", "[]", '`wrangler.json` holds no table: expected `{ "name": …, "main": … }`'],
]) {
  test(`a broken ${name} is quoted: ${JSON.stringify(text)}`, (t) => {
    assert.throws(() => load(join(folder(t, { [name]: text }), name)), { name: "Help", message });
  });
}

test("a file that is not UTF-8 is left alone", (t) => {
  const path = join(folder(t), "wrangler.toml");
  writeFileSync(path, Buffer.from([...Buffer.from('name = "caf'), 0xe9, 0x22]));
  assert.throws(() => load(path), { name: "Help", message: `can't read \`${path}\`: it is not UTF-8` });
});
