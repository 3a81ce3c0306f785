// Makes tests/import/fixtures/managed by Google's emulator, which writes the same files as `gcloud firestore export`:
//
//   gcloud emulators firestore start --host-port=localhost:8099
//   node tests/import/export.mjs localhost:8099
//
// The tests need only what it has made.

import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { below, odd, system } from "./data.mjs";

const host = process.argv[2] ?? "localhost:8099";
const root = `projects/p/databases/(default)/documents/`;
const headers = { Authorization: "Bearer owner", "Content-Type": "application/json" };
const call = async (method, path, body) => {
  const response = await fetch(`http://${host}${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
};

await call("DELETE", "/emulator/v1/projects/p/databases/(default)/documents");
const documents = [...system({ users: 5, creations: 200 }), ...odd, ...below];
const name = (path) => root + path;
const own = (fields) => JSON.parse(JSON.stringify(fields));
for (let at = 0; at < documents.length; at += 100) {
  const writes = documents.slice(at, at + 100).map(({ path, fields }) => ({ update: { name: name(path), fields: own(fields) } }));
  await call("POST", "/v1/projects/p/databases/%28default%29/documents:commit", { writes });
}
const folder = mkdtempSync(join(tmpdir(), "export-"));
await call("POST", "/emulator/v1/projects/p:export", { database: "projects/p/databases/(default)", export_directory: folder });
const [made] = readdirSync(folder);
const target = fileURLToPath(new URL("fixtures/managed", import.meta.url));
rmSync(target, { recursive: true, force: true });
cpSync(join(folder, made ?? "."), target, { recursive: true });
rmSync(folder, { recursive: true });
