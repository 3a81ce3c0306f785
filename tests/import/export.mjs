// Makes tests/import/fixtures/small by Google's emulator, which writes the same files as `gcloud firestore export`, and answers as the
// REST API does:
//
//   gcloud emulators firestore start --host-port=localhost:8099
//   node tests/import/export.mjs localhost:8099
//
// The two npm tools have written their files from the same emulator, with FIRESTORE_EMULATOR_HOST=localhost:8099. The tests need only
// what is committed.

import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { below, odd, system } from "./data.mjs";

const host = process.argv[2] ?? "localhost:8099";
const root = `projects/p/databases/(default)/documents/`;
const headers = { Authorization: "Bearer owner", "Content-Type": "application/json" };
const call = async (method, path, body) => {
  const response = await fetch(`http://${host}${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
};

await call("DELETE", "/emulator/v1/projects/p/databases/(default)/documents");
const documents = [...system({ users: 5, creations: 160 }), ...odd, ...below];
const name = (path) => root + path;
const own = (fields) => JSON.parse(JSON.stringify(fields));
for (let at = 0; at < documents.length; at += 100) {
  const writes = documents.slice(at, at + 100).map(({ path, fields }) => ({ update: { name: name(path), fields: own(fields) } }));
  await call("POST", "/v1/projects/p/databases/%28default%29/documents:commit", { writes });
}
const folder = mkdtempSync(join(tmpdir(), "export-"));
await call("POST", "/emulator/v1/projects/p:export", { database: "projects/p/databases/(default)", export_directory: folder });
const [made] = readdirSync(folder);
const target = fileURLToPath(new URL("fixtures/small/managed", import.meta.url));
rmSync(target, { recursive: true, force: true });
cpSync(join(folder, made ?? "."), target, { recursive: true });
rmSync(folder, { recursive: true });

const fixture = (name, text) => writeFileSync(fileURLToPath(new URL(`fixtures/small/${name}`, import.meta.url)), text);
const DOCUMENTS = "/v1/projects/p/databases/%28default%29/documents";
const pages = [];
for (const collection of ["users", "creations", "people", "people/person-0/works", "people/person-1/works"]) {
  for (let next = ""; next !== undefined; ) {
    pages.push(await call("GET", `${DOCUMENTS}/${collection}?pageSize=100&pageToken=${next}`));
    next = JSON.parse(pages.at(-1)).nextPageToken;
  }
}
fixture("pages.json", pages.join("\n"));
const all = (collectionId) => call("POST", `${DOCUMENTS}:runQuery`, { structuredQuery: { from: [{ collectionId, allDescendants: true }] } });
fixture("query.json", await all("creations"));
const lines = (await Promise.all(["users", "creations", "people", "works"].map(all))).flatMap(JSON.parse).filter(({ document }) => document);
fixture("lines.ndjson", lines.map(({ document }) => `${JSON.stringify(document)}\n`).join(""));
