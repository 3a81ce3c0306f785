// <stale-badge>: a badge that turns into "Failed" by itself, at the draft's deadline.

import { check } from "./check.js";
import { following } from "./clock.js";
import { repeat } from "./repeat.js";

const STYLE = `:host{display:inline-block;padding:var(--stale-badge-padding,.15em .6em);border-radius:var(--stale-badge-radius,99px);font-weight:600;white-space:nowrap;color:var(--stale-badge-color,inherit);background:var(--stale-badge-background,transparent)}`;

/** Gives a shadow root its style. A strict Content-Security-Policy refuses a <style>, and allows a sheet; jsdom and old browsers have none. */
const adopt = (root) => {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
  } catch {
    const style = document.createElement("style");
    style.textContent = STYLE;
    root.append(style);
  }
};

/** On a server there is no HTMLElement: the module can be imported there, and defines nothing. */
const Base = globalThis.HTMLElement ?? class {};

export class StaleBadge extends Base {
  #stop;
  #look;
  #clock;
  #policy;
  #texts;
  #last;

  static observedAttributes = ["status", "kind", "attempt", "created-at", "queued-at", "started-at", "heartbeat-at", "extended-until", "max-age-hours", "now"];

  /** What `now` is measured by: a clock of `serverClock()`. Without one, the attribute `now`, from when it was first seen. */
  get clock() {
    return this.#clock;
  }

  set clock(clock) {
    this.#clock = clock;
    this.#look?.();
  }

  /** A policy, as `check()` takes it; comes before the attribute `max-age-hours`. */
  get policy() {
    return this.#policy;
  }

  set policy(policy) {
    this.#policy = policy;
    this.#look?.();
  }

  /** Another language, as `texts()` makes it. */
  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = texts;
    if (texts) {
      this.lang = texts.locale;
      this.dir = texts.dir;
    }
    this.#look?.();
  }

  /** The verdict as it is now: what `check()` answers. */
  get result() {
    const time = (name) => this.#time(name);
    const hours = this.getAttribute("max-age-hours");
    const policy = this.#policy ?? (hours == null ? undefined : hours !== "" && isFinite(hours) ? +hours : hours);
    const draft = {
      status: this.getAttribute("status"),
      kind: this.getAttribute("kind"),
      attempt: this.getAttribute("attempt") ?? 1,
      created_at: time("created-at"),
      queued_at: time("queued-at"),
      started_at: time("started-at"),
      heartbeat_at: time("heartbeat-at"),
      extended_until: time("extended-until"),
    };
    return check(draft, { now: this.#running(), policy, texts: this.#texts });
  }

  #running() {
    return this.#clock ?? following(this.#time("now"));
  }

  /** A time in an attribute: epoch ms in digits, or text as `check()` takes it. */
  #time(name) {
    const text = this.getAttribute(name);
    return text && /^-?\d+$/.test(text) ? +text : text || null;
  }

  connectedCallback() {
    if (!this.shadowRoot) {
      const root = this.attachShadow({ mode: "open" });
      adopt(root);
      const slot = document.createElement("slot");
      slot.setAttribute("part", "badge");
      root.append(slot);
    }
    this.#stop = new AbortController();
    this.#look = repeat(() => [this.#show()], () => this.#running(), this.#stop.signal);
  }

  disconnectedCallback() {
    this.#stop?.abort();
  }

  attributeChangedCallback() {
    this.#look?.();
  }

  #show() {
    const result = this.result;
    const { verdict, badge } = result;
    if (this.textContent.trim() !== badge) {
      const flipped = this.#last && this.#last !== verdict;
      // What a screen reader is to say aloud is what changes while it is read, not what is there already.
      if (flipped) this.setAttribute("role", "status");
      const [sign, ...words] = badge.split(" ");
      const icon = document.createElement("span");
      icon.setAttribute("aria-hidden", "true");
      icon.textContent = sign;
      this.replaceChildren(icon, ` ${words.join(" ")}`);
    }
    this.dataset.verdict = verdict;
    if (this.#last !== verdict) {
      this.#last = verdict;
      this.dispatchEvent(new CustomEvent("verdict", { bubbles: true, detail: result }));
    }
    return result;
  }
}

if (globalThis.customElements && !customElements.get("stale-badge")) customElements.define("stale-badge", StaleBadge);
