// The system that is moved away from, as far as its data goes: Firestore's documents, and what its app, its workers and its sweep
// do to them. It charges, refunds and sweeps as the old code did.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, ndjson, restPages, runQuery, seedData } from "../import/seed-data.mjs";

const HOUR = 3_600_000;
export const PRICES = { image: 10, video: 80, audio: 25 };

const text = (value) => ({ stringValue: value });
const integer = (value) => ({ integerValue: String(value) });
const time = (ms) => new Date(ms).toISOString();
const stamp = (ms) => ({ timestampValue: time(ms) });
const idOf = (document) => document.name.split("/").at(-1);
const word = (field) => field?.stringValue;

export class OldSystem {
  #users = new Map();
  #creations = new Map();
  #others = [];
  #made = 0;

  constructor(data = seedData({ now: Date.now() })) {
    this.expected = data.expected;
    for (const document of data.documents) {
      const collection = document.name.split("/").at(-2);
      if (collection === "users") this.#users.set(idOf(document), document);
      else if (collection === "creations") this.#creations.set(idOf(document), document);
      else this.#others.push(document);
    }
  }

  /** The same, to go on from here in another way. */
  copy() {
    const copied = new OldSystem({ documents: structuredClone([...this.#documents()]), expected: this.expected });
    copied.#made = this.#made;
    return copied;
  }

  *#documents() {
    yield* this.#users.values();
    yield* this.#creations.values();
    yield* this.#others;
  }

  users = () => [...this.#users.keys()];
  /** A balance is a number, a double or text: the data is some years old. */
  balance(user) {
    const { integerValue, doubleValue, stringValue } = this.#users.get(user).fields.tokenBalance;
    return Number(integerValue ?? doubleValue ?? stringValue);
  }
  balances = () => Object.fromEntries(this.users().map((user) => [user, this.balance(user)]));
  pay(user, tokens) {
    const balance = this.balance(user) + tokens;
    if (balance < 0) throw new Error(`the balance of \`${user}\` would be ${balance}`);
    this.#users.get(user).fields.tokenBalance = integer(balance);
  }

  has = (id) => this.#creations.has(id);
  status = (id) => word(this.#creations.get(id).fields.status);
  owner = (id) => word(this.#creations.get(id).fields.userId);
  tokens = (id) => Number(this.#creations.get(id).fields.tokensUsed.integerValue);
  error = (id) => word(this.#creations.get(id).fields.error);
  path = (id) => this.#creations.get(id).name.slice(ROOT.length + 1);
  paths = () => [...this.#creations.keys()].map(this.path);
  /** The creations of a status that the old code can work with: those with an owner and a price. */
  with(...statuses) {
    const usable = ([, { fields }]) => statuses.includes(word(fields.status)) && fields.userId?.stringValue && /^\d+$/.test(fields.tokensUsed?.integerValue ?? "");
    return [...this.#creations].filter(usable).map(([id]) => id);
  }

  create(user, kind, now = Date.now()) {
    const id = `late${String((this.#made += 1)).padStart(16, "0")}`;
    this.pay(user, -PRICES[kind]);
    const fields = { userId: text(user), creationType: text(kind), prompt: text("a fox at the last minute"), status: text("pending"), tokensUsed: integer(PRICES[kind]), createdAt: stamp(now), error: { nullValue: null } };
    this.#creations.set(id, { name: `${ROOT}/creations/${id}`, fields, createTime: time(now), updateTime: time(now) });
    return id;
  }
  /** A creation as it was made elsewhere, with its tokens paid there. */
  adopt({ id, user_id, kind, prompt, status, tokens, created_at, error }) {
    const fields = { userId: text(user_id), creationType: text(kind), prompt: text(prompt), status: text(status), tokensUsed: integer(tokens), createdAt: stamp(created_at), error: error === null ? { nullValue: null } : text(error) };
    this.#creations.set(id, { name: `${ROOT}/creations/${id}`, fields, createTime: time(created_at), updateTime: time(created_at) });
  }

  #set(id, status, fields = {}) {
    const document = this.#creations.get(id);
    Object.assign(document.fields, { status: text(status), ...fields });
    document.updateTime = time(Date.now());
  }
  start = (id) => this.#set(id, "processing", { startedAt: stamp(Date.now()) });
  complete = (id) => this.#set(id, "draft", { mediaUrl: text(`https://storage.example/${id}.png`), completedAt: stamp(Date.now()) });
  publish = (id) => this.#set(id, "published");
  /** `mark_failed`, which refunds. */
  fail(id, error) {
    this.#set(id, "failed", { error: text(error), completedAt: stamp(Date.now()) });
    this.pay(this.owner(id), this.tokens(id));
  }
  /** The same for whom the refund was paid elsewhere. */
  failWithoutRefund = (id, error) => this.#set(id, "failed", { error: text(error) });
  /** `mark_stale_creations_as_failed` for one user, as opening the drafts tab did. */
  open(user, now = Date.now()) {
    const old = this.with("pending", "processing").filter((id) => this.owner(id) === user && now - Date.parse(this.#creations.get(id).createTime) > HOUR);
    for (const id of old) this.fail(id, `Generation timeout: Task stuck in ${this.status(id)} status for 2.0 hours`);
    return old;
  }

  /** An export, in one of the forms that REST gives. Gives what stands for it on the command line. */
  write(folder, name, form) {
    mkdirSync(join(folder, name), { recursive: true });
    const data = { documents: [...this.#documents()], now: Date.now() };
    const files = {
      "run-query": () => [["all.json", runQuery(data)]],
      ndjson: () => [["all.ndjson", ndjson(data)]],
      rest: () => restPages(data).flatMap(({ collection, pages }) => pages.map((page, n) => [`${collection.replaceAll("/", "-")}-${n + 1}.json`, page])),
    }[form]();
    for (const [file, content] of files) writeFileSync(join(folder, name, file), content);
    return `${name}/*`;
  }
}
