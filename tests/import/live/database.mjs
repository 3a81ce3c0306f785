// A live Firestore: npm's emulator, the seed system that works on it by Node's client, and what reads it out from outside.
//
// The emulator speaks gRPC only, and lacks some of what Google's has:
// - it lists neither collections nor documents. So `node-firestore-import-export`, which asks for both, can't read it, and
//   `firestore-export-import` is told which collections there are, those below a user too;
// - a query of a collection at any depth gives what is at the top alone. So each of those below is named;
// - an integer above 2^53 loses its last digits. None of what is imported is that large.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../examples/processes.mjs";
import { ok } from "../../package/consumers/install.mjs";
import { root, run } from "../harness.mjs";
import { PROJECT, ROOT } from "../seed-data.mjs";

/** What each way of reading is, as a program of Node's. It prints what is in the collections that it is given. */
export const READERS = {
  "read-firestore.mjs": readFileSync(join(root, "docs/import.md"), "utf8").match(/^```js read-firestore\.mjs\n(.*?)^```$/ms)[1],
  "firestore-export-import.mjs": `
import { backups, initializeFirebaseApp } from "firestore-export-import";

const options = { refs: ["userId"], includeSubcollections: false };
console.log(JSON.stringify(await backups(initializeFirebaseApp(), process.argv.slice(2), options)));
`,
};

/** A folder with the packages of package.json here, and the readers. */
export async function install() {
  const home = mkdtempSync(join(tmpdir(), "stale-drafts-live-"));
  for (const name of ["package.json", "package-lock.json"]) cpSync(fileURLToPath(new URL(name, import.meta.url)), join(home, name));
  await ok("npm", ["ci", "--no-audit", "--no-fund"], home);
  for (const [name, text] of Object.entries(READERS)) writeFileSync(join(home, name), text);
  return { home, remove: () => rmSync(home, { recursive: true, force: true }) };
}

/** Starts an emulator with these documents in it. It ends with the test. */
export async function startLive(t, home, documents) {
  const need = createRequire(join(home, "package.json"));
  const { FirestoreServer } = need("@firestore-emulator/server");
  const client = need("@google-cloud/firestore");
  const port = await freePort();
  const server = new FirestoreServer();
  await server.start(port);
  // As a team sets them for Google's emulator. Google's client would look for a machine of its cloud, too.
  const env = { FIRESTORE_EMULATOR_HOST: `127.0.0.1:${port}`, GOOGLE_CLOUD_PROJECT: PROJECT, METADATA_SERVER_DETECTION: "none", no_grpc_proxy: "127.0.0.1" };
  Object.assign(process.env, env);
  const system = new LiveSystem(client);
  t.after(async () => {
    await system.db.terminate();
    server.stop();
  });
  await system.fill(documents);
  return {
    system,
    /** What a reader prints of collections, each a name or a path. */
    async read(reader, collections) {
      const { out, err, code } = await run(home, process.execPath, [reader, ...collections], { env });
      assert.equal(code, 0, err);
      return out;
    },
  };
}

/** The old app, with a database that is at work. It charges and refunds in one transaction with what it is for. */
class LiveSystem {
  constructor(client) {
    this.client = client;
    this.db = new client.Firestore({ projectId: PROJECT });
  }

  async fill(documents) {
    const BATCH = 400;
    for (let from = 0; from < documents.length; from += BATCH) {
      const batch = this.db.batch();
      for (const { name, fields } of documents.slice(from, from + BATCH)) batch.set(this.db.doc(name.slice(ROOT.length + 1)), this.#fields(fields));
      await batch.commit();
    }
  }

  /** Each user's balance. One is a text: the data is some years old. */
  async balances() {
    const { docs } = await this.db.collection("users").get();
    return Object.fromEntries(docs.map((user) => [user.id, Number(user.get("tokenBalance"))]));
  }

  /** The ids of the creations of a status that the old code can work with: those with an owner and a price. */
  async with(...statuses) {
    const { docs } = await this.db.collection("creations").where("status", "in", statuses).get();
    return docs.filter((creation) => typeof creation.get("userId") === "string" && Number.isInteger(creation.get("tokensUsed"))).map(({ id }) => id);
  }

  async create(id, userId, tokensUsed) {
    const createdAt = this.client.FieldValue.serverTimestamp();
    const fields = { userId, creationType: "image", prompt: "a fox at the last minute", status: "pending", tokensUsed, createdAt, error: null };
    await this.db.runTransaction(async (transaction) => {
      await this.#pay(transaction, userId, -tokensUsed);
      transaction.create(this.db.doc(`creations/${id}`), fields);
    });
  }

  complete = (id) => this.db.doc(`creations/${id}`).update({ status: "draft", completedAt: this.client.FieldValue.serverTimestamp(), mediaUrl: `https://storage.example/${id}.png` });

  publish = (id) => this.db.doc(`creations/${id}`).update({ status: "published" });

  fail = (id) => this.db.runTransaction(async (transaction) => {
    const creation = await transaction.get(this.db.doc(`creations/${id}`));
    await this.#pay(transaction, creation.get("userId"), creation.get("tokensUsed"));
    transaction.update(creation.ref, { status: "failed", error: "API key invalid" });
  });

  buy = (userId, tokens) => this.db.runTransaction((transaction) => this.#pay(transaction, userId, tokens));

  async #pay(transaction, userId, tokens) {
    const user = await transaction.get(this.db.doc(`users/${userId}`));
    const tokenBalance = Number(user.get("tokenBalance")) + tokens;
    assert.ok(tokenBalance >= 0, `the balance of \`${userId}\` would be ${tokenBalance}`);
    transaction.update(user.ref, { tokenBalance });
  }

  /** Typed values as the client has them. */
  #fields = (typed) => Object.fromEntries(Object.entries(typed).map(([name, value]) => [name, this.#value(value)]));

  #value(value) {
    const { GeoPoint, Timestamp } = this.client;
    const [[type, of]] = Object.entries(value);
    switch (type) {
      case "integerValue": case "doubleValue": return Number(of);
      case "timestampValue": {
        const [seconds, fraction = ""] = of.replace("Z", "").split(".");
        return new Timestamp(Date.parse(`${seconds}Z`) / 1_000, Number(fraction.padEnd(9, "0")));
      }
      case "geoPointValue": return new GeoPoint(of.latitude, of.longitude);
      case "referenceValue": return this.db.doc(of.slice(ROOT.length + 1));
      case "bytesValue": return Buffer.from(of, "base64");
      case "arrayValue": return (of.values ?? []).map((each) => this.#value(each));
      case "mapValue": return this.#fields(of.fields ?? {});
      default: return of;
    }
  }
}
