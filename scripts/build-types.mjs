// The types of the API's rows, bodies, errors and events, and of the configuration, from the one place that says what they are:
// www/openapi.json.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./lib.mjs";

/** The text of `api.d.ts`: a type for each schema, under its own name. */
export async function apiTypes() {
  // Here, for this module is read before any package is installed.
  const { default: openapi, astToString } = await import("openapi-typescript");
  const { openapi: version, info, components } = JSON.parse(readFileSync(join(root, "www/openapi.json"), "utf8"));
  // Without the routes, whose types would be three quarters of the file and which nobody who uses this package names.
  const schema = { openapi: version, info, paths: {}, components: { schemas: components.schemas } };
  // A key with a default may be left out by whoever writes it.
  const ast = await openapi(schema, { rootTypes: true, rootTypesNoSchemaPrefix: true, defaultNonNullable: false });
  return `// Made from www/openapi.json by scripts/build-types.mjs.\n\n${astToString(ast)}`;
}
