// The drafts list while it is open. A draft that goes stale turns failed at its deadline, by the package's element and the
// server's clock; what workers do meanwhile is asked for, often while something happens and seldom while nothing does.
// Without this the page is complete, and as true as when it was rendered.

import { createClient } from "./stale-drafts/esm/client.js";
import { ago, policy, serverClock } from "./stale-drafts/esm/index.js";
import { texts } from "./stale-drafts/esm/texts.js";
import "./stale-drafts/esm/element.js";

/** When the page is followed at first, in ms: it has just been rendered. */
const SOON = 3_000;
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

/** The language of the page, where it is not English. Nothing is waited for: the badges are English until they are told. */
const language = main.dataset.texts && texts(JSON.parse(main.dataset.texts));

/** Shows on a draft's card what the server would: the error, and that the refund comes with the next sweep. */
main.addEventListener("verdict", ({ target, detail }) => {
  const card = target.closest(".card");
  const before = card.dataset.status;
  if (detail.verdict === "unreadable" || (detail.verdict === "fresh" && before !== "unreadable")) return;
  card.dataset.status = detail.status;
  target.classList.remove("pending", "processing", "unreadable");
  target.classList.add(detail.status);
  // A time that was in the future is one now: what the card says of it is over.
  if (before === "unreadable") card.querySelector(".error")?.remove();
  // It is over, or begins anew: there is nothing to cancel.
  card.querySelector(".actions")?.remove();
  if (detail.status !== "failed") return;
  const error = document.createElement("p");
  error.className = "error";
  error.dir = "auto";
  error.textContent = detail.error;
  card.querySelector(".prompt").after(error);
  const { refund } = card.dataset;
  if (refund) card.querySelector(".tokens").textContent = refund;
});

/** Has the badges below `root` judge by the server's policy and clock. */
function judge(root) {
  for (const badge of root.querySelectorAll("stale-badge")) {
    badge.policy = limits;
    badge.clock = clock;
    badge.texts = language;
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

let known;
let growing;

const active = ({ id, stored_status, attempt }) => [id, stored_status, attempt].join(" ");

/** Whether the page shows something else than what is being generated now. */
function differs(list) {
  if (known) return known.join() !== list.join();
  const there = new Set(list);
  const waiting = cards().filter(({ dataset }) => ["pending", "processing"].includes(dataset.status));
  return waiting.some(({ dataset }) => !there.has(active({ ...dataset, stored_status: dataset.status })));
}

/** Gives a draft's card what its worker has reported; whether that is all that there is to show. */
function follows({ id, status, verdict, progress, heartbeat_at, extended_until }) {
  const card = main.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!card) return true;
  // A sign of life keeps the badge from turning at the deadline that it was rendered with. It also makes a draft readable
  // whose times were too far ahead.
  const badge = card.querySelector("stale-badge");
  if (heartbeat_at !== null) badge?.setAttribute("heartbeat-at", heartbeat_at);
  // An operator has given it more time, or has ended that.
  if (extended_until !== null) badge?.setAttribute("extended-until", extended_until);
  else badge?.removeAttribute("extended-until");
  // A stale one turns by itself, if it has not.
  if (card.dataset.status === "unreadable" || verdict === "stale") return true;
  const bar = card.querySelector("progress");
  if (bar && progress !== null) bar.value = progress;
  return card.dataset.status === status && (bar !== null || progress === null || status !== "processing");
}

/** Shows what is being generated now. */
async function follow({ drafts }) {
  const list = drafts.map(active);
  const behind = drafts.some((draft) => !follows(draft));
  if (differs(list) || behind) await refresh();
  known = list;
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
    const text = ago(passed, { texts: language });
    if (time.textContent !== text) time.textContent = text;
  }
  growing = setTimeout(grow, step);
}

judge(main);
grow();
document.addEventListener("visibilitychange", grow);
// While the network, or the server, is away the page stays as it is, and what was not taken over comes again.
const client = createClient({ baseUrl: new URL(".", import.meta.url) });
setTimeout(() => client.watch(follow, { policy: limits, onError: () => {} }), SOON);
