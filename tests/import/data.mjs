// A system as docs/import.md imports it, made from numbers: the same at every run. A document is `{ path, fields }`, with Firestore's
// typed values.

/** When the youngest creation was made. */
export const NOW = Date.parse("2026-11-20T12:00:00Z");
const MINUTE = 60_000;

const text = (value) => ({ stringValue: value });
const integer = (value) => ({ integerValue: String(value) });
const time = (ms) => ({ timestampValue: new Date(ms).toISOString().replace("Z", "456789Z") });
const none = { nullValue: null };
const prompts = ["a fox", "it's a \"fox\";\n-- and a dog", "eine Füchsin 🦊 im 森", "BEGIN TRANSACTION; COMMIT; 'or not'", "C:\\temp\\%s"];

/** The statuses: most creations are over, a few are pending or processing. */
const status = (n) => (n % 20 === 0 ? "pending" : n % 20 === 1 ? "processing" : ["draft", "published", "failed"][Math.floor(n / 3) % 3]);

/** A user, with what is left of the tokens. */
const user = (n) => ({
  path: `users/user-${n}`,
  fields: { displayName: text(`User ${n}`), tokenBalance: integer((n * 37) % 500), createdAt: time(NOW - n * 1_000 * MINUTE) },
});

function creation(n, users) {
  const fields = {
    userId: text(`user-${n % users}`),
    creationType: text(n % 3 === 0 ? "video" : "image"),
    prompt: text(prompts[n % prompts.length]),
    status: text(status(n)),
    tokensUsed: integer(n % 3 === 0 ? 30 : 10),
    createdAt: time(NOW - n * MINUTE),
    error: none,
  };
  const word = fields.status.stringValue;
  if (word !== "pending") fields.startedAt = time(NOW - n * MINUTE + 5_000);
  if (word === "draft" || word === "published") Object.assign(fields, { completedAt: time(NOW - n * MINUTE + 60_000), mediaUrl: text(`https://files.example/${n}.png`) });
  if (word === "failed") Object.assign(fields, { completedAt: time(NOW - n * MINUTE + 60_000), error: text("API key invalid") });
  return { path: `creations/c${String(n).padStart(5, "0")}`, fields };
}

/** So many users, and so many creations of theirs. */
export const system = ({ users, creations }) => [
  ...Array.from({ length: users }, (_, n) => user(n)),
  ...Array.from({ length: creations }, (_, n) => creation(n, users)),
];

/** Documents that can be read only by care, each with what becomes of it: a status, or a part of the reason why not. */
export const odd = [
  ["numbers as text", { tokensUsed: text("10") }, "draft"],
  ["numbers as doubles", { tokensUsed: { doubleValue: 10 } }, "draft"],
  ["a part of a token", { tokensUsed: { doubleValue: 10.5 } }, "`tokensUsed`"],
  ["tokens in words", { tokensUsed: text("ten") }, "`tokensUsed`"],
  ["fewer than none", { tokensUsed: integer(-1) }, "`tokensUsed`"],
  ["too many", { tokensUsed: integer("9007199254740993") }, "`tokensUsed`"],
  ["no tokens", { tokensUsed: none }, "`tokensUsed`"],
  ["a user by number", { userId: integer(7) }, "draft"],
  ["a user by reference", { userId: { referenceValue: "projects/p/databases/(default)/documents/users/user-1" } }, "draft"],
  ["nobody's", { userId: none }, "`userId`"],
  ["a word that we don't know", { status: text("archived") }, "`archived`"],
  ["a status that is a list", { status: { arrayValue: { values: [text("draft")] } } }, "`status`"],
  ["no kind", { creationType: none }, "`creationType`"],
  ["a time with an offset", { createdAt: text("2026-11-20T13:00:00.5+01:00") }, "draft"],
  ["a time in words", { createdAt: text("yesterday") }, "`createdAt`"],
  ["a time as a number", { createdAt: integer(1_763_640_000) }, "`createdAt`"],
  ["no time", { createdAt: none }, "draft"],
  ["a prompt with U+0000", { prompt: text("a\u0000b") }, "draft"],
  ["a long prompt", { prompt: text("狐".repeat(3) + "a".repeat(19_998)) }, "draft"],
  ["an error that is a map", { error: { mapValue: { fields: { message: text("broken") } } } }, "`error`"],
].map(([name, fields, becomes], n) => ({
  path: `creations/${name.replaceAll(" ", "-").replaceAll("'", "")}`,
  fields: { ...creation(2, 5).fields, status: text("draft"), createdAt: time(NOW - n * MINUTE), ...fields },
  becomes,
}));

/** Creations in a subcollection of their owner, without a field that names it; and a value of each further type. */
export const below = [
  ...Array.from({ length: 3 }, (_, n) => {
    const { userId, ...fields } = creation(n + 3, 5).fields;
    return { path: `people/person-${n % 2}/works/w${n}`, fields };
  }),
  { path: "people/person-0", fields: { tokenBalance: integer(5) } },
  {
    path: "settings/all",
    fields: {
      place: { geoPointValue: { latitude: 1.5, longitude: -2.5 } },
      bytes: { bytesValue: "aGk=" },
      list: { arrayValue: { values: [integer(1), text("x"), { mapValue: { fields: { a: integer(1) } } }] } },
      empty: { arrayValue: {} },
      map: { mapValue: { fields: { inner: { mapValue: { fields: { deep: { doubleValue: 0.5 } } } }, at: time(NOW) } } },
      on: { booleanValue: true },
    },
  },
];
