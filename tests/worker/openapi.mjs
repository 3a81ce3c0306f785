// www/openapi.json, held against what the Worker answers: `check` fails for any answer that it does not describe.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";

export const DOCUMENT = JSON.parse(readFileSync(new URL("../../www/openapi.json", import.meta.url), "utf8"));

const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema(DOCUMENT, "api");

const escape = (part) => part.replaceAll("~", "~0").replaceAll("/", "~1");
const paths = Object.keys(DOCUMENT.paths).map((path) => [path, new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`)]);

/** Which operations and statuses have been answered so far. */
export const seen = new Set();

/** Checks what the webhook or a queue gets. */
export function checkEvent(event) {
  const validate = ajv.getSchema("api#/components/schemas/Event");
  assert.ok(validate(event), `${ajv.errorsText(validate.errors)}\n${JSON.stringify(event)}`);
}

/** Checks what a provider is asked. */
export function checkQuestion(question) {
  const validate = ajv.getSchema("api#/components/schemas/Question");
  assert.ok(validate(question), `${ajv.errorsText(validate.errors)}\n${JSON.stringify(question)}`);
}

/** Checks an answer against the document, if it describes its path. */
export async function check(method, pathname, response) {
  // `/api/drafts/active` is no `/api/drafts/{id}`: a path without a placeholder comes first.
  const path = pathname in DOCUMENT.paths ? pathname : paths.find(([, pattern]) => pattern.test(pathname))?.[0];
  if (!path || method === "HEAD") return;
  // What a browser asks before a page's request is the standard's, and not described.
  if (method === "OPTIONS" && response.status === 204) return;
  const operation = DOCUMENT.paths[path][method.toLowerCase()];
  if (response.status === 304) return void seen.add(`${operation?.operationId} 304`);
  const body = await response.clone().json();
  if (!operation) {
    assert.equal(response.status, 405, `${method} ${path} is not described`);
    return;
  }
  const { status } = response;
  assert.ok(operation.responses[status], `${method} ${path} answers ${status}, which is not described: ${JSON.stringify(body)}`);
  const validate = ajv.getSchema(`api#/paths/${escape(path)}/${method.toLowerCase()}/responses/${status}/content/application~1json/schema`);
  assert.ok(validate(body), `${method} ${path} ${status}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(body)}`);
  seen.add(`${operation.operationId} ${status}`);
}
