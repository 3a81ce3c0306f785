// The data of a system as it is before a move: users with balances, and creations in Firestore. The same seed gives the
// same data. Documents are kept as Firestore's REST API gives them, with typed values; the functions below write them
// as each tool does.
//
//   node tests/import/seed-data.mjs rest|run-query|ndjson|export-import|node-import-export|expected [2000 [50 [13]]]
//
// writes that form to the standard output. The numbers are the creations, the users, and of how many one is odd.

import { fileURLToPath } from "node:url";

export const PROJECT = "seed-app";
export const ROOT = `projects/${PROJECT}/databases/(default)/documents`;
/** When the data was read. The newest creations are minutes older. */
export const SEED_NOW = Date.UTC(2026, 10, 27, 12);

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const COST = { image: 10, video: 80, audio: 25 };
const ERRORS = ["Generation timeout: Task stuck in pending status for 18.2 hours", "API key invalid", "The provider answered 502 “Bad Gateway”", "Worker lost: SIGKILL 💥"];
const WORDS = "a fox in the snow reads old newspapers beside three quiet robots under paper lanterns while it's raining".split(" ");

/**
 * Users and creations, and what an import must make of them.
 *
 * `odd` adds what such a database holds after some years: numbers as text or doubles, times as text, owners in the path or
 * as references, nulls, very long texts, documents of no use: one creation of `oddEvery`. `expected.unreadable` lists those with no right reading.
 */
export function seedData({ users = 50, creations = 2_000, odd = true, oddEvery = 13, seed = 17, now = SEED_NOW } = {}) {
  const random = randomFrom(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const documents = [];
  const unreadable = [];
  const balances = {};
  const expected = { users, creations: 0, balances, balanceSum: 0, byStatus: {}, byKind: {}, tokensByStatus: {}, withoutTime: [], unreadable };

  const add = (path, fields, created) => {
    const name = `${ROOT}/${path}`;
    documents.push({ name, fields, createTime: time(created), updateTime: time(created + 1_500_123n) });
  };

  const userIds = Array.from({ length: users }, (_, n) => `user-${String(n + 1).padStart(3, "0")}`);
  for (const [n, id] of userIds.entries()) {
    const tokens = n === 0 ? 0 : Math.floor(random() * 5_000);
    balances[id] = tokens;
    expected.balanceSum += tokens;
    const balance = odd && n % 17 === 3 ? double(tokens) : odd && n % 17 === 5 ? text(String(tokens)) : integer(tokens);
    const joined = micros(now - (400 + n) * 24 * HOUR) + BigInt(Math.floor(random() * 1_000_000));
    add(`users/${id}`, { email: text(`${id}@example.com`), displayName: text(n % 9 === 4 ? "Zoë 🦊" : `User ${n + 1}`), tokenBalance: balance, createdAt: timestamp(joined) }, joined);
  }

  for (let n = 0; n < creations; n++) {
    const id = identifier(random);
    const userId = userIds[Math.floor(random() ** 2 * users)];
    const kind = pick(["image", "image", "image", "video", "audio"]);
    const status = weighted(random(), { published: 0.3, draft: 0.4, failed: 0.2, pending: 0.06, processing: 0.04 });
    const active = status === "pending" || status === "processing";
    // Some of the active ones are younger than an hour; the rest have been stuck for up to three days.
    const age = active ? (random() < 0.2 ? random() * 50 * MINUTE : HOUR + random() * 71 * HOUR) : 2 * HOUR + random() * 300 * 24 * HOUR;
    const created = micros(Math.round(now - age)) + (n % 5 === 0 ? 0n : BigInt(Math.floor(random() * 1_000)));
    const fields = {
      userId: text(userId),
      creationType: text(kind),
      prompt: text(sentence(random, n)),
      status: text(status),
      tokensUsed: integer(COST[kind]),
      createdAt: timestamp(created),
      updatedAt: timestamp(created + 1_500_123n),
      error: status === "failed" ? text(pick(ERRORS)) : { nullValue: null },
      model: text(`${kind}-model-2`),
      params: map({ width: integer(512), seed: integer(9007199254740993n), strength: double(0.75), styles: list([text("oil"), text("night")]), draft: { booleanValue: true } }),
    };
    if (status === "draft" || status === "published") fields.mediaUrl = text(`https://storage.example/${id}.${kind === "image" ? "png" : kind === "video" ? "mp4" : "mp3"}`);
    let path = `creations/${id}`;
    let problem = null;
    if (odd && n % oddEvery === oddEvery - 1) [path, problem] = makeOdd(Math.floor(n / oddEvery), { path, id, userId, fields, created });

    add(path, fields, created);
    if (problem) {
      unreadable.push({ path, ...problem });
      continue;
    }
    if (!("createdAt" in fields) || "nullValue" in fields.createdAt) expected.withoutTime.push(path);
    expected.creations++;
    for (const [table, key, by] of [[expected.byStatus, status, 1], [expected.byKind, kind, 1], [expected.tokensByStatus, status, COST[kind]]]) table[key] = (table[key] ?? 0) + by;
  }
  // What is no creation and no user, and must not be taken for one.
  add("config/generation", { defaultModel: text("image-model-2"), maintenance: { booleanValue: false } }, micros(now - 500 * 24 * HOUR));
  return { documents, expected, now };
}

/** Makes a creation odd, each kind in turn. Gives its path, and the problem of one that can't be read: the field, and why. */
function makeOdd(turn, { path, id, userId, fields, created }) {
  const below = `users/${userId}/creations/${id}`;
  const odd = {
    // These can be read.
    0: () => { delete fields.createdAt; },
    1: () => { fields.createdAt = { nullValue: null }; },
    2: () => { delete fields.userId; path = below; },
    3: () => { path = below; },
    4: () => { fields.userId = reference(`users/${userId}`); },
    5: () => { fields.tokensUsed = double(Number(fields.tokensUsed.integerValue)); },
    6: () => { fields.tokensUsed = text(fields.tokensUsed.integerValue); },
    7: () => { fields.createdAt = text(time(created)); },
    8: () => { fields.createdAt = integer(created / 1_000n); },
    9: () => { fields.prompt = text("A fox's tale; \"quoted\", 100 % of it -- \\ and\na second line 🦊👩‍👩‍👧 ".repeat(320)); },
    10: () => { fields.prompt = text("a fox\u0000'); DROP TABLE users; --"); },
    11: () => { delete fields.error; delete fields.updatedAt; fields.place = { geoPointValue: { latitude: 52.5, longitude: 13.4 } }; },
    12: () => { fields.thumbnail = { bytesValue: "iVBORw0KGgo=" }; fields.score = double("NaN"); fields.nothing = list([]); fields.history = list([map({ at: timestamp(created), by: reference(`users/${userId}`) })]); },
    // These have no right reading.
    13: () => { fields.status = text("archived"); return { field: "status", why: "no status of ours" }; },
    14: () => { fields.tokensUsed = double(12.5); return { field: "tokensUsed", why: "no whole number" }; },
    15: () => { fields.tokensUsed = text("lots"); return { field: "tokensUsed", why: "no number" }; },
    16: () => { fields.tokensUsed = integer(-10); return { field: "tokensUsed", why: "below zero" }; },
    17: () => { delete fields.userId; return { field: "userId", why: "no owner, neither as a field nor in the path" }; },
    18: () => { delete fields.status; return { field: "status", why: "missing" }; },
    19: () => { fields.createdAt = text("last Tuesday"); return { field: "createdAt", why: "no time" }; },
  };
  const problem = odd[turn % Object.keys(odd).length]() ?? null;
  return [path, problem];
}

// Firestore's typed values.
const text = (value) => ({ stringValue: value });
const integer = (value) => ({ integerValue: String(value) });
const double = (value) => ({ doubleValue: value });
const timestamp = (at) => ({ timestampValue: time(at) });
const reference = (path) => ({ referenceValue: `${ROOT}/${path}` });
const list = (values) => ({ arrayValue: values.length ? { values } : {} });
const map = (fields) => ({ mapValue: { fields } });

const micros = (ms) => BigInt(ms) * 1_000n;
/** RFC 3339, as Firestore writes it: no fraction, or 3 or 6 digits of one. */
function time(at) {
  const iso = new Date(Number(at / 1_000n)).toISOString();
  const fraction = at % 1_000_000n;
  if (fraction === 0n) return iso.replace(".000Z", "Z");
  return fraction % 1_000n === 0n ? iso : iso.replace("Z", `${String(fraction % 1_000n).padStart(3, "0")}Z`);
}

/** A small generator of numbers from 0 to below 1 (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** An id like those that Firestore's clients make. */
const identifier = (random) => Array.from({ length: 20 }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join("");
const sentence = (random, n) => `${Array.from({ length: 3 + Math.floor(random() * 9) }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ")}${n % 11 === 0 ? " 🎨" : ""}`;
function weighted(at, weights) {
  for (const [key, weight] of Object.entries(weights)) if ((at -= weight) < 0) return key;
  return Object.keys(weights)[0];
}

const pathOf = ({ name }) => name.slice(ROOT.length + 1);
const parentOf = (path) => path.split("/").slice(0, -1).join("/");
const lastOf = (path) => path.split("/").at(-1);
const collectionOf = (document) => parentOf(pathOf(document));
const byName = (one, other) => (pathOf(one) < pathOf(other) ? -1 : 1);

/**
 * What `GET …/documents/{collection}` answers, page by page, as one text each.
 *
 * @returns {{ collection: string, pages: string[] }[]}
 */
export function restPages({ documents }, pageSize = 300) {
  return collections(documents).map(({ path, members }) => {
    const pages = [];
    for (let from = 0; from < members.length; from += pageSize) {
      const more = from + pageSize < members.length;
      pages.push(`${JSON.stringify({ documents: members.slice(from, from + pageSize), ...(more && { nextPageToken: `page-${pages.length + 1}` }) }, null, 2)}\n`);
    }
    return { collection: path, pages };
  });
}

/** What `POST …/documents:runQuery` answers for all documents: an array, one document an element. */
export const runQuery = ({ documents, now }) => `[${documents.map((document) => JSON.stringify({ document, readTime: time(micros(now)) })).join("\n,\n")}\n]\n`;

/** One document a line. */
export const ndjson = ({ documents }) => documents.map((document) => `${JSON.stringify(document)}\n`).join("");

/**
 * What `backups` of npm's firestore-export-import 1.7 gives, as `JSON.stringify` writes it: a time is its two fields, a
 * subcollection stands in its document under its whole path. `refs` names the fields whose references
 * become paths, as that tool's option does; others are written with the client's insides.
 */
export function exportImport({ documents }, { refs = ["userId"] } = {}) {
  const plain = (value) => plainValue(value, {
    timestamp: (seconds, nanos) => ({ _seconds: seconds, _nanoseconds: nanos }),
    geoPoint: (latitude, longitude) => ({ _latitude: latitude, _longitude: longitude }),
    reference: (path) => ({ _firestore: { projectId: PROJECT }, _path: { segments: path.split("/") }, _converter: {} }),
    bytes: (bytes) => ({ type: "Buffer", data: [...bytes] }),
  });
  const below = byParent(documents);
  const collection = (members) => Object.fromEntries(members.map((document) => {
    const fields = Object.entries(document.fields).map(([key, value]) => [key, refs.includes(key) && value.referenceValue ? value.referenceValue.slice(ROOT.length + 1) : plain(value)]);
    const inner = below(pathOf(document));
    return [lastOf(pathOf(document)), { ...Object.fromEntries(fields), ...(inner.length && { subCollection: whole(inner) }) }];
  }));
  const whole = (found) => Object.fromEntries(found.map(({ path, members }) => [path, collection(members)]));
  return JSON.stringify(whole(below("")));
}

/** What the command `firestore-export --prettyPrint` of npm's node-firestore-import-export 1.1 writes. */
export function nodeImportExport({ documents }) {
  const plain = (value) => plainValue(value, {
    timestamp: (seconds, nanos) => ({ __datatype__: "timestamp", value: { _seconds: seconds, _nanoseconds: nanos } }),
    geoPoint: (latitude, longitude) => ({ __datatype__: "geopoint", value: { _latitude: latitude, _longitude: longitude } }),
    reference: (path) => ({ __datatype__: "documentReference", value: path }),
    // It takes bytes for an object.
    bytes: (bytes) => ({ ...bytes }),
  });
  const below = byParent(documents);
  const whole = (parent) => Object.fromEntries(below(parent).map(({ path, members }) => [lastOf(path), Object.fromEntries(members.map((document) => {
    const fields = Object.fromEntries(Object.entries(document.fields).map(([key, value]) => [key, plain(value)]));
    return [lastOf(pathOf(document)), { ...fields, __collections__: whole(pathOf(document)) }];
  }))]));
  return JSON.stringify({ __collections__: whole("") }, null, 2);
}

/** Every collection with documents, and these, in the order of their names. */
function collections(documents) {
  const found = Map.groupBy([...documents].sort(byName), collectionOf);
  return [...found].sort(([one], [other]) => (one < other ? -1 : 1)).map(([path, members]) => ({ path, members }));
}

/** Gives the collections right below a document, or below none. */
function byParent(documents) {
  const found = Map.groupBy(collections(documents), ({ path }) => parentOf(path));
  return (parent) => found.get(parent) ?? [];
}

/** A typed value as the Node client gives it, where `special` writes what JSON has no word for. NaN becomes null there. */
function plainValue(value, special) {
  const [[type, inner]] = Object.entries(value);
  switch (type) {
    case "integerValue": return Number(inner);
    case "doubleValue": return Number(inner);
    case "timestampValue": {
      const [seconds, fraction = ""] = inner.replace("Z", "").split(".");
      return special.timestamp(Date.parse(`${seconds}Z`) / 1_000, Number(fraction.padEnd(9, "0")));
    }
    case "geoPointValue": return special.geoPoint(inner.latitude, inner.longitude);
    case "referenceValue": return special.reference(inner.slice(ROOT.length + 1));
    case "bytesValue": return special.bytes(Buffer.from(inner, "base64"));
    case "arrayValue": return (inner.values ?? []).map((element) => plainValue(element, special));
    case "mapValue": return Object.fromEntries(Object.entries(inner.fields ?? {}).map(([key, element]) => [key, plainValue(element, special)]));
    default: return inner;
  }
}

/** Writes all documents to a Firestore emulator by REST; `host` is a host and a port. Each `createTime` is then the emulator's. */
export async function fillEmulator(host, { documents }) {
  const BATCH = 100;
  for (let from = 0; from < documents.length; from += BATCH) {
    const writes = documents.slice(from, from + BATCH).map(({ name, fields }) => ({ update: { name, fields } }));
    const response = await fetch(`http://${host}/v1/${ROOT}:commit`, {
      // The emulator's word for one who may do everything.
      method: "POST", headers: { "Content-Type": "application/json", Authorization: "Bearer owner" }, body: JSON.stringify({ writes }),
    });
    if (!response.ok) throw new Error(`the emulator refused the documents from ${from} on: ${response.status} ${await response.text()}`);
  }
}

/** The small set of the fixtures: each odd kind once. */
export const fixtureData = () => seedData({ creations: 44, users: 12, oddEvery: 2 });

/** The files of the fixtures, by their names. */
export function fixtureFiles(data = fixtureData()) {
  const rest = Object.fromEntries(restPages(data, 20).flatMap(({ collection, pages }) => pages.map((page, n) => [`rest/${collection.replaceAll("/", "-")}-${n + 1}.json`, page])));
  return {
    ...rest,
    "run-query.json": runQuery(data),
    "documents.ndjson": ndjson(data),
    "firestore-export-import.json": exportImport(data),
    "node-firestore-import-export.json": nodeImportExport(data),
    "expected.json": `${JSON.stringify(data.expected, null, 2)}\n`,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [form, creations = "2000", users = "50", oddEvery = "13"] = process.argv.slice(2);
  const data = seedData({ creations: Number(creations), users: Number(users), oddEvery: Number(oddEvery) });
  const forms = {
    rest: () => restPages(data).flatMap(({ pages }) => pages).join(""),
    "run-query": () => runQuery(data),
    ndjson: () => ndjson(data),
    "export-import": () => exportImport(data),
    "node-import-export": () => nodeImportExport(data),
    expected: () => `${JSON.stringify(data.expected, null, 2)}\n`,
  };
  if (!Object.hasOwn(forms, form)) {
    console.error(`\`${form ?? ""}\` is no form: expected ${Object.keys(forms).join(", ")}`);
    process.exit(2);
  }
  process.stdout.write(forms[form]());
}
