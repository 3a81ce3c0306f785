// The same documents in each form that `import firestore` reads.

const ROOT = "projects/p/databases/(default)/documents/";
const CREATED = "2026-11-19T10:20:30.987654Z";

/** As the REST API answers. */
const typed = ({ path, fields }) => ({ name: ROOT + path, fields, createTime: CREATED, updateTime: CREATED });

/** Answers of `documents.list`, one after the other. */
export function pages(documents, size = 300) {
  const list = [];
  for (let at = 0; at < documents.length; at += size) list.push(JSON.stringify({ documents: documents.slice(at, at + size).map(typed), nextPageToken: "AFTF" }, null, 2));
  return list.join("\n");
}

/** The answer of `runQuery`. It may begin with an element that has no document. */
export const query = (documents) => JSON.stringify([{ readTime: CREATED }, ...documents.map((document) => ({ document: typed(document), readTime: CREATED }))], null, 1);

/** A document a line. */
export const lines = (documents) => documents.map((document) => `${JSON.stringify(typed(document))}\n`).join("");

/** A typed value as the Admin SDK has it; `timestamp` and `reference` say how a tool writes those two. */
function plain(value, forms) {
  const [[type, of]] = Object.entries(value);
  if (type === "integerValue") return Number(of);
  if (type === "arrayValue") return (of.values ?? []).map((each) => plain(each, forms));
  if (type === "mapValue") return all(of.fields ?? {}, forms);
  if (type === "timestampValue") return forms.timestamp({ _seconds: Math.floor(Date.parse(of) / 1_000), _nanoseconds: Number(of.match(/\.(\d{9})/)[1]) });
  if (type === "referenceValue") return forms.reference(of.slice(ROOT.length));
  return of;
}
const all = (fields, forms) => Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plain(value, forms)]));

/** Documents by collection. Those of subcollections are below their parents. */
function nested(documents, forms, put) {
  const root = {};
  for (const { path, fields } of documents) {
    const parts = path.split("/");
    let collections = root;
    for (let at = 0; at < parts.length; at += 2) {
      const collection = (collections[forms.key(parts, at)] ??= {});
      const document = (collection[parts[at + 1]] ??= put({}));
      if (at + 2 === parts.length) Object.assign(document, all(fields, forms));
      collections = forms.below(document);
    }
  }
  return root;
}

/** The JSON of npm's `firestore-export-import`. */
export function exportImport(documents) {
  const forms = {
    timestamp: (value) => value,
    reference: (path) => ({ _firestore: { projectId: "p" }, _path: { segments: path.split("/") }, _converter: {} }),
    key: (parts, at) => parts.slice(0, at + 1).join("/"),
    below: (document) => (document.subCollection ??= {}),
  };
  const root = nested(documents, forms, (document) => document);
  // It writes an empty one only where a user asked for none.
  return JSON.stringify(root, (_, value) => (value?.subCollection && Object.keys(value.subCollection).length === 0 ? { ...value, subCollection: undefined } : value), 2);
}

/** The JSON of npm's `node-firestore-import-export`. */
export function importExport(documents) {
  const forms = {
    timestamp: (value) => ({ __datatype__: "timestamp", value }),
    reference: (value) => ({ __datatype__: "documentReference", value }),
    key: (parts, at) => parts[at],
    below: (document) => document.__collections__,
  };
  return JSON.stringify({ __collections__: nested(documents, forms, (document) => ({ ...document, __collections__: {} })) });
}
