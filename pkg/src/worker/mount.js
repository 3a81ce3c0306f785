// The Worker knows its own paths, which begin with `/`. Below a base path of an app, requests lose it and answers gain it, here and
// nowhere else: a link that a page gets later needs no thought.

/** `/stale-drafts` from what an app writes; the empty text for the whole host. */
export function base(path) {
  if (typeof path !== "string" || !/^(\/[^\s?#"<>]*)?$/.test(path)) throw new TypeError(`Invalid basePath \`${path}\`: expected a path such as \`/stale-drafts\``);
  return path.replace(/\/+$/, "");
}

/** The path of a request below the base, or null where it is not below it. */
export function pathBelow(base, url) {
  const { pathname } = new URL(url);
  if (pathname === base) return "/";
  return pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : null;
}

/** The request as the Worker takes it. */
export function stripped(request, path) {
  const url = new URL(request.url);
  if (url.pathname === path) return request;
  // A path that begins with two slashes would be another host.
  url.pathname = path;
  return new Request(url, request);
}

// Whatever a page says of a user has its quotes escaped, so these are the page's own attributes.
const LINKS = / (href|src|action)="\//g;

/** The answer as the app's clients take it. */
export async function mounted(base, response) {
  if (base === "") return response;
  const headers = new Headers(response.headers);
  const location = headers.get("Location");
  if (location?.startsWith("/")) headers.set("Location", base + location);
  const cookies = headers.getSetCookie();
  headers.delete("Set-Cookie");
  for (const cookie of cookies) headers.append("Set-Cookie", cookie.replace("; Path=/", `; Path=${base}/`));
  const page = headers.get("Content-Type")?.startsWith("text/html") && response.body !== null;
  const body = page ? (await response.text()).replace(LINKS, ` $1="${base}/`) : response.body;
  return new Response(body, { status: response.status, headers });
}
