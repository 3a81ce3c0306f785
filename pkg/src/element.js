// <stale-badge>: a badge that turns into "Failed" by itself, at the draft's deadline.

import { check } from "./check.js";
import { repeat } from "./repeat.js";

const STYLE = `:host{display:inline-block;padding:var(--stale-badge-padding,.15em .6em);border-radius:var(--stale-badge-radius,99px);font-weight:600;white-space:nowrap;color:var(--stale-badge-color,inherit);background:var(--stale-badge-background,transparent)}`;

/** On a server there is no HTMLElement: the module can be imported there, and defines nothing. */
const Base = globalThis.HTMLElement ?? class {};

export class StaleBadge extends Base {
  #stop;
  #look;
  #clock;
  #policy;
  #last;

  static observedAttributes = ["status", "kind", "attempt", "created-at", "queued-at", "started-at", "heartbeat-at", "max-age-hours"];

  /** What `now` is measured by: a clock of `serverClock()`. Without one, the page's own. */
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

  /** The verdict as it is now: what `check()` answers. */
  get result() {
    const time = (name) => {
      const text = this.getAttribute(name);
      return text && /^-?\d+$/.test(text) ? +text : text || null;
    };
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
    };
    return check(draft, { now: this.#clock, policy });
  }

  connectedCallback() {
    if (!this.shadowRoot) {
      const root = this.attachShadow({ mode: "open" });
      // A strict Content-Security-Policy refuses a <style>, and allows this.
      const style = new CSSStyleSheet();
      style.replaceSync(STYLE);
      root.adoptedStyleSheets = [style];
      const slot = document.createElement("slot");
      slot.setAttribute("part", "badge");
      root.append(slot);
    }
    this.#stop = new AbortController();
    this.#look = repeat(() => [this.#show()], () => this.#clock, this.#stop.signal);
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
      icon.ariaHidden = "true";
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
