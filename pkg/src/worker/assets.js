// The styles and scripts of the pages: in the Worker, so that an app has nothing to copy.

import files from "#assets";

const TYPES = { css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", json: "application/json", html: "text/html; charset=utf-8" };

/** The file at a path, or undefined. */
export function asset(request, path) {
  const file = Object.hasOwn(files, path) ? files[path] : undefined;
  if (file === undefined || (request.method !== "GET" && request.method !== "HEAD")) return undefined;
  const [tag, text] = file;
  const headers = { ETag: tag, "Cache-Control": "public, max-age=0, must-revalidate", "Content-Type": TYPES[path.split(".").at(-1)], "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'" };
  if (request.headers.get("If-None-Match")?.includes(tag)) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : text, { headers });
}
