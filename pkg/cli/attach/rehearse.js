// The migration on an empty copy of the schema, in memory: what SQLite would refuse is known before anything is written.

import { Help } from "../lib/help.js";
import { migrations } from "../lib/installed.js";
import { sqlite } from "./database.js";
import { name } from "./names.js";

const ORDER = ["table", "index", "view", "trigger"];

/** What compiles each trigger: SQLite looks into one only where it is fired. */
const firing = (table, column) => [
  `INSERT INTO ${table} DEFAULT VALUES`,
  `UPDATE ${table} SET ${column} = ${column}`,
  `DELETE FROM ${table}`,
  "UPDATE stale_drafts_creations SET status = status, attempt = attempt",
];

/** Runs `up`, and `down`, after which the schema must be what it was. Gives whether there was a SQLite to do that with. */
export async function rehearse({ objects }, { table, id }, { up, down }) {
  const Database = await sqlite();
  if (!Database) return false;
  const db = new Database(":memory:");
  const schema = () => JSON.stringify(db.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").all());
  if (!objects.some((object) => object.name === "stale_drafts_creations")) for (const { text } of migrations()) db.exec(text);
  for (const type of ORDER) {
    for (const object of objects.filter((other) => other.type === type && other.sql)) {
      try {
        db.exec(object.sql);
      } catch {
        // A virtual table's module may be missing here, or a view of one: the migration is about neither.
      }
    }
  }
  const before = schema();
  try {
    db.exec(up);
    for (const sql of firing(name(table), name(id.column))) db.prepare(sql);
  } catch (error) {
    throw new Help(`the migration does not fit this database: ${error.message}`);
  }
  db.exec(down);
  if (schema() !== before) throw new Help("detaching would not leave the schema as it was: please report this table's CREATE statement");
  db.close();
  return true;
}
