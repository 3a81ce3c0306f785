// Keeps an open dashboard true: takes over the page as the server renders it, twice a minute while somebody looks at it.
// Without this it is as true as when it was rendered.

const EVERY = 30_000;
let timer;

const written = (field) => field.value !== field.defaultValue;

async function refresh() {
  const main = document.querySelector("main");
  // Nothing moves under the hands of somebody who reads a table or is about to press a button, or who has begun to write.
  const used = document.activeElement;
  if (document.hidden || (main.contains(used) && !used.matches(".notice")) || [...main.querySelectorAll("input, textarea")].some(written)) return;
  const response = await fetch(location.href);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const open = [...main.querySelectorAll("details")].map((details) => details.open);
  const next = document.adoptNode(page.querySelector("main"));
  next.querySelectorAll("details").forEach((details, at) => (details.open = open[at] ?? false));
  main.replaceWith(next);
}

async function follow() {
  clearTimeout(timer);
  // The network, or the server, may be away for a while: the page stays as it is.
  await refresh().catch(() => {});
  timer = setTimeout(follow, EVERY);
}

document.addEventListener("visibilitychange", follow);
timer = setTimeout(follow, EVERY);
