// The drafts list while it is open: a draft that goes stale turns failed at its deadline, by the package's element and
// the server's clock. Without this the page is complete, and as true as when it was rendered.

import { serverClock } from "./stale-drafts/index.js";
import "./stale-drafts/element.js";

const main = document.querySelector("main[data-now]");
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
  if (detail.verdict !== "stale") return;
  const card = target.closest(".card");
  const price = Number(card.dataset.tokens);
  card.dataset.status = "failed";
  target.classList.remove("pending", "processing");
  target.classList.add("failed");
  const error = document.createElement("p");
  error.className = "error";
  error.textContent = detail.error;
  card.querySelector(".prompt").after(error);
  if (price > 0) card.querySelector(".tokens").textContent = `Refund of ${tokens(price)} on its way`;
});

for (const badge of main.querySelectorAll("stale-badge")) badge.clock = clock;
