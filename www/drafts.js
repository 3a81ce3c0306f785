// The drafts list while it is open. A draft that goes stale turns failed at its deadline, by the package's element and the
// server's clock; what workers do meanwhile is asked for, often while something happens and seldom while nothing does.
// Without this the page is complete, and as true as when it was rendered.

import { ago, policy, serverClock } from "./stale-drafts/esm/index.js";
import "./stale-drafts/esm/element.js";

/** How long to wait between two questions, in ms: this after a change, and half as long again each time that nothing has. */
const SOON = 3_000;
const LATE = 30_000;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const main = document.querySelector("main[data-now]");
const news = document.querySelector("#news");
const limits = policy(JSON.parse(main.dataset.policy));
const [navigation] = performance.getEntriesByType("navigation");
const clock = serverClock({
  now: Number(main.dataset.now),
  sent_at: navigation.requestStart,
  received_at: navigation.responseStart,
});

const count = new Intl.NumberFormat("en");
const tokens = (number) => `${count.format(number)} token${number === 1 ? "" : "s"}`;

/** Shows on a draft's card what the server would: the error, and that the refund comes with the next sweep. */
main.addEventListener("verdict", ({ target, detail }) => {
  const card = target.closest(".card");
  const before = card.dataset.status;
  if (detail.verdict === "unreadable" || (detail.verdict === "fresh" && before !== "unreadable")) return;
  const price = Number(card.dataset.tokens);
  card.dataset.status = detail.status;
  target.classList.remove("pending", "processing", "unreadable");
  target.classList.add(detail.status);
  // A time that was in the future is one now: what the card says of it is over.
  if (before === "unreadable") card.querySelector(".error")?.remove();
  if (detail.status !== "failed") return;
  const error = document.createElement("p");
  error.className = "error";
  error.textContent = detail.error;
  card.querySelector(".prompt").after(error);
  if (price > 0) card.querySelector(".tokens").textContent = `Refund of ${tokens(price)} on its way`;
});

/** Has the badges below `root` judge by the server's policy and clock. */
function judge(root) {
  for (const badge of root.querySelectorAll("stale-badge")) {
    badge.policy = limits;
    badge.clock = clock;
  }
}

/** A part of another rendering of this page, ready to be put in: its badges must not judge by the page's clock before. */
function taken(element) {
  const part = document.adoptNode(element);
  customElements.upgrade(part);
  judge(part);
  return part;
}

const cards = (root = document) => [...root.querySelectorAll(".card")];
const words = (element) => element?.textContent.replace(/\s+/g, " ").trim();

/** Takes over what has changed from the page as the server renders it now. */
async function refresh() {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const old = new Map(cards().map((card) => [card.dataset.id, card]));
  const now = cards(page);
  const same = now.length === old.size && now.every((card) => old.has(card.dataset.id));
  for (const card of now) {
    const before = old.get(card.dataset.id);
    if (!before || words(before) === words(card)) continue;
    const changed = before.dataset.status !== card.dataset.status;
    before.replaceWith(taken(card));
    if (changed) news.textContent = `${words(card.querySelector(".prompt"))}: ${words(card.querySelector(".badge"))}`;
  }
  if (!same) main.replaceChildren(...taken(page.querySelector("main")).childNodes);
  document.querySelector("#balance").textContent = page.querySelector("#balance").textContent;
}

let tag;
let known;
let wait = SOON;
let timer;
let growing;

const active = ({ id, status, attempt }) => [id, status, attempt].join(" ");

/** Whether the page shows something else than what is being generated now. */
function differs(drafts) {
  const list = drafts.map(active);
  if (known) return known.join() !== list.join();
  const there = new Set(list);
  const waiting = cards().filter(({ dataset }) => ["pending", "processing"].includes(dataset.status));
  return waiting.some(({ dataset }) => !there.has(active({ ...dataset })));
}

/** Gives a draft's card what its worker has reported; whether that is all that there is to show. */
function follows({ id, status, progress, heartbeat_at }) {
  const card = main.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!card) return true;
  // A sign of life keeps the badge from turning at the deadline that it was rendered with. It also makes a draft readable
  // whose times were too far ahead.
  if (heartbeat_at !== null) card.querySelector("stale-badge")?.setAttribute("heartbeat-at", heartbeat_at);
  if (card.dataset.status === "unreadable") return true;
  const bar = card.querySelector("progress");
  if (bar && progress !== null) bar.value = progress;
  return card.dataset.status === status && (bar !== null || progress === null || status !== "processing");
}

/** Asks what is being generated; gives whether anything is. */
async function ask() {
  const response = await fetch("/api/drafts/active", { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
  if (response.status === 304) {
    wait = Math.min(wait * 1.5, LATE);
    return known.length > 0;
  }
  if (!response.ok) throw new Error(`status ${response.status}`);
  const { drafts } = await response.json();
  const behind = drafts.some((draft) => !follows(draft));
  if (differs(drafts) || behind) await refresh();
  wait = SOON;
  [tag, known] = [response.headers.get("ETag"), drafts.map(active)];
  return drafts.length > 0;
}

/** Asks again and again while the page is seen and something is being generated. */
async function follow() {
  clearTimeout(timer);
  if (document.hidden) return;
  let more = true;
  try {
    more = await ask();
  } catch {
    // The network, or the server, is away for a while: the page stays as it is.
    wait = LATE;
  }
  clearTimeout(timer);
  if (more && !document.hidden) timer = setTimeout(follow, wait);
}

/** Has the ages go on while the page is seen, with one timer: each second while one is below a minute, then each minute. */
function grow() {
  clearTimeout(growing);
  if (document.hidden) return;
  const now = clock.now();
  let step = MINUTE;
  for (const time of document.querySelectorAll("time.age")) {
    const passed = now - Date.parse(time.dateTime);
    if (passed < 0) continue;
    if (passed < MINUTE) step = SECOND;
    const text = ago(passed);
    if (time.textContent !== text) time.textContent = text;
  }
  growing = setTimeout(grow, step);
}

judge(main);
grow();
document.addEventListener("visibilitychange", grow);
document.addEventListener("visibilitychange", follow);
timer = setTimeout(follow, SOON);
