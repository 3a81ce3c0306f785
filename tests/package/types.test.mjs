// The types, as an app's compiler reads them: every entry, strictly, by each way to resolve modules. And that they are made from the
// one place that says what the API gives.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import Ajv from "ajv/dist/2020.js";
import { unstable_readConfig as readConfig } from "wrangler";
import { apiTypes } from "../../scripts/build-types.mjs";
import { bin, capture, root } from "../../scripts/lib.mjs";

const folder = join(root, "tests/output/types");
const document = JSON.parse(readFileSync(join(root, "www/openapi.json"), "utf8"));

/** What an app may write. Each line under an `@ts-expect-error` has to be an error. */
const USES = {
  "index.ts": `
import { check, policy, serverClock, watch, type Config, type PolicySettings, type Status, type Verdict } from "stale-drafts";
const status: Status = "pending";
const verdict: Verdict = check({ status, created_at: new Date() }, { policy: policy({ kinds: { video: { processing: 6, attempts: 2 } } }) });
watch([], { now: serverClock({ now: 1, sent_at: 2, received_at: 3 }) }, (verdicts) => verdicts.length);
export const settings = { max_age_hours: "never", kinds: { song: { heartbeat_minutes: 2 } } } as const satisfies PolicySettings;
export const config: Config = {
  policy: settings, rows_per_sweep: 500, auth: { algorithm: "RS256", jwks_url: "https://issuer.example/keys", issuer: "a", audience: "b" },
  api_tokens: [{ name: "ops", sha256: "0".repeat(64), scopes: ["read", "sweep"] }], circuit_breaker: "off", keep_days: { sweeps: 3 }, alerts: {},
  issuers: [{ name: "ci", preset: "google", audience: "a", emails: ["a@b"], scopes: ["sweep"] }], allowed_origins: ["https://app.example"],
};
export const other: Config = { circuit_breaker: { percent: 20 } };
// @ts-expect-error a preset that there is not
check({ status: "pending" }, { policy: "prod" });
// @ts-expect-error a key that there is not
policy({ max_age_hour: 1 });
// @ts-expect-error a key of the configuration that there is not
export const misspelt: Config = { polices: {} };
// @ts-expect-error a scope that there is not
export const scopes: Config = { api_tokens: [{ name: "ops", sha256: "", scopes: ["admin"] }] };
export { verdict };
`,
  "element.ts": `
import { StaleBadge } from "stale-drafts/element";
const badge: StaleBadge = document.createElement("stale-badge");
badge.addEventListener("verdict", ({ detail }) => detail.badge.length);
// @ts-expect-error it is read only
badge.result = null;
`,
  "client.ts": `
import { check } from "stale-drafts";
import { createClient, StaleDraftsError, type ActiveDraft, type Client, type Config, type Created, type Creation, type Diagnosis, type Draft, type Drafts, type ErrorBody, type ErrorCode, type Event, type Explanation, type FollowedDraft, type Granted, type Health, type LedgerEntry, type NewCreation, type Started, type Sweep, type SweepReport } from "stale-drafts/client";
const client: Client = createClient({ baseUrl: new URL("https://api.example/stale-drafts"), token: async () => "…", fetch });
export async function use(): Promise<Draft[]> {
  const list: Drafts = await client.list({ limit: 5 });
  const error: string | null = check(list.drafts[0]!, { now: client.clock }).error;
  const again = client.watch(({ drafts, balance }) => { const rows: FollowedDraft[] = drafts; rows.at(balance)?.deadline?.toFixed(); }, { initial: list, signal: AbortSignal.timeout(1) });
  again();
  client.watch(async () => {}, { policy: 0.5, onError: (problem) => problem instanceof StaleDraftsError && problem.code === "too_many_requests" && problem.retry_after_ms });
  const status: "published" = (await client.publish("a")).status;
  const { deleted_at } = await client.remove("a");
  // @ts-expect-error a code that there is not
  if (new StaleDraftsError(404, { error: "" }).code === "missing") return [];
  // @ts-expect-error it is a number
  await client.list({ limit: "5" });
  return deleted_at === 0 || status || error ? list.drafts : [];
}
export function told(event: Event): string | null {
  switch (event.type) {
    case "creation.failed": case "creation.retried": case "creation.restored": return event.data.creation_id;
    case "alert.fired": return event.data.remedy;
    case "alert.resolved": return String(event.data.since);
  }
}
export type All = [ActiveDraft, Config, Created, Creation, Diagnosis, ErrorBody, ErrorCode, Explanation, Granted, Health, LedgerEntry, NewCreation, Started, Sweep, SweepReport];
`,
  "react.tsx": `
import { StaleBadge, useDrafts, useVerdict } from "stale-drafts/react";
import { createClient, type Drafts } from "stale-drafts/client";
import { texts } from "stale-drafts/texts";
const client = createClient();
const de = texts({ locale: "de" });
export function List({ initial }: { initial: Drafts }) {
  const { drafts, balance, status, error, refresh, publish, remove } = useDrafts({ client, initial, texts: de });
  const { verdict } = useVerdict({ status: "pending" }, { now: initial.now, texts: de });
  if (status === "error") return <p>{String(error)}</p>;
  return <ul data-balance={balance} onClick={() => refresh()}>
    {drafts.map((draft) => <li key={draft.id}><StaleBadge draft={draft} texts={de} /> {draft.error} {verdict}<button onClick={() => publish(draft.id)} /><button onClick={() => remove(draft.id)} /></li>)}
  </ul>;
}
// @ts-expect-error an option that there is not
export const Wrong = () => useDrafts({ url: "/" });
`,
  "texts.ts": `
import { ago, check, type ErrorParams } from "stale-drafts";
import { texts, type Catalogue, type Texts } from "stale-drafts/texts";
import german from "stale-drafts/texts/de";
import japanese from "stale-drafts/texts/ja";
import type { Draft, StaleDraftsError } from "stale-drafts/client";
const polish = { locale: "pl", badges: { failed: "Niepowodzenie" }, ages: { minute: { one: "{count} minuta", few: "{count} minuty", other: "{count} minut" } }, errors: { generation_timeout: { pending: "{age}" }, provider_error: "Brak" } } as const satisfies Catalogue;
const de: Texts = texts(german);
export const told = (error: StaleDraftsError): string => de.say("problems", error.code, error.details) ?? error.message;
export const all: string[] = [japanese, polish].map((catalogue: Catalogue) => texts(catalogue).locale);
export const inGerman = (draft: Draft): Draft => de(draft);
const params: ErrorParams = check({ status: "pending" }, { texts: de }).error_params;
if (params && "unit" in params) (params.count.toFixed(1), params.unit === "hour", params.attempts.toFixed());
if (params && "field" in params) params.field === "created_at";
const said: string = ago(5, { texts: de });
document.createElement("stale-badge").texts = de;
// @ts-expect-error a key that there is not
texts({ locale: "pl", badges: { faild: "Niepowodzenie" } });
// @ts-expect-error forms without the one that is always needed
texts({ locale: "pl", ages: { minute: { one: "{count} minuta" } } });
// @ts-expect-error a text without a count has no forms
texts({ locale: "pl", badges: { failed: { other: "Niepowodzenie" } } });
// @ts-expect-error a catalogue is made into texts first
check({ status: "pending" }, { texts: german });
export { said };
`,
  "others.ts": `
import * as js from "stale-drafts/js";
import * as auto from "stale-drafts/auto";
import { createClient as strict } from "stale-drafts/js/client";
import { createClient as falling } from "stale-drafts/auto/client";
import "stale-drafts/auto/element";
import { useDrafts } from "stale-drafts/js/react";
export { auto, falling, js, strict, useDrafts };
`,
};

/** The Worker is a module for Workers, and has no CommonJS. */
const MODULES = {
  "worker.ts": `
import Standalone, { staleDrafts, StaleDraftsError, type Config, type Drafts, type Explained, type Started, type StaleDraftsService, type LedgerItem, type SweepReport } from "stale-drafts/worker";
import type { Texts } from "stale-drafts/texts";
export const told = (entry: LedgerItem, texts: Texts): string => texts.say("movements", entry.message_code, entry.message_params) ?? entry.message;
interface Env { DB: object; STALE_DRAFTS: StaleDraftsService }
const config: Config = { policy: { preset: "budget" } };
const drafts = staleDrafts({ binding: "DB", basePath: "/stale-drafts", config, bindings: { EVENTS: "DRAFT_EVENTS" } });
export default {
  async fetch(request: Request, env: Env, ctx: { waitUntil(promise: Promise<unknown>): void }): Promise<Response> {
    try {
      const { id } = await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30, idempotency_key: "k" });
      const started: Started = await drafts.start(env, id, { worker: "w" });
      await drafts.heartbeat(env, id, { fence: started.fence, progress: 40 });
      await drafts.complete(env, id, { fence: started.fence, result_url: "https://cdn.example/fox.mp4" });
      const swept: SweepReport = await drafts.markStaleCreationsAsFailed(env, { max_age_hours: 1, dry_run: true });
      const list: Drafts = await env.STALE_DRAFTS.list("ada", { limit: swept.marked_as_failed });
      const explained: Explained = await drafts.explain(env, list.drafts[0]!.id);
      if ("archived" in explained) return new Response(explained.archived.prefix);
      if ((await drafts.health(env)).checks.sweep !== "ok") return new Response(explained.creation.badge);
      // @ts-expect-error a report without the fence
      await drafts.heartbeat(env, id, { progress: 40 });
      // @ts-expect-error the environment comes first
      await drafts.list("ada");
    } catch (error) {
      if (error instanceof StaleDraftsError && error.code === "insufficient_tokens") return new Response(error.message, { status: error.status });
    }
    return (await drafts.fetch(request, env, ctx)) ?? new Response("the app's own");
  },
  scheduled: (event: object, env: Env, ctx: { waitUntil(promise: Promise<unknown>): void }) => drafts.scheduled(event, env, ctx),
};
staleDrafts({ config: { languages: ["en", "pl"] }, texts: [{ locale: "pl", page: { refunded: { other: "Zwrócono {count}" } } }] });
// @ts-expect-error a text that there is not
staleDrafts({ texts: [{ locale: "pl", page: { refund: "Zwrócono" } }] });
// @ts-expect-error a key of the configuration that there is not
staleDrafts({ config: { polices: {} } });
export { Standalone };
`,
};

before(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "node_modules"), { recursive: true });
  symlinkSync(join(root, "pkg"), join(folder, "node_modules/stale-drafts"));
  for (const [name, text] of Object.entries({ ...USES, ...MODULES })) writeFileSync(join(folder, name), text);
});

const OPTIONS = { strict: true, noEmit: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, target: "es2022", lib: ["es2022", "dom"], jsx: "react-jsx", types: [], skipLibCheck: false };

for (const [module, moduleResolution, type] of [["esnext", "bundler", "module"], ["node16", "node16", "module"], ["node16", "node16", "commonjs"], ["nodenext", "nodenext", "module"]]) {
  test(`every entry, strictly: ${moduleResolution}, ${type}`, async () => {
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type }));
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...OPTIONS, module, moduleResolution }, files: Object.keys(type === "module" ? { ...USES, ...MODULES } : USES) }));
    const { code, output } = await capture(bin("tsc"), ["-p", "."], { cwd: folder });
    assert.equal(code, 0, output);
  });
}

test("the types of the API are those of openapi.json", async () => {
  const made = readFileSync(join(root, "pkg/dist/api.d.ts"), "utf8");
  assert.equal(made, await apiTypes(), "`node scripts/build-package.mjs` builds them");
  for (const name of Object.keys(document.components.schemas)) assert.match(made, new RegExp(`^export type ${name} = `, "m"));
});

test("the configuration of this repository is valid by its schema, and a wrong one is not", () => {
  const ajv = new Ajv({ strict: false, validateFormats: false });
  ajv.addSchema(document, "api");
  const valid = ajv.getSchema("api#/components/schemas/Config");
  const { STALE_DRAFTS } = readConfig({ config: join(root, "wrangler.toml") }).vars;
  assert.ok(Object.keys(STALE_DRAFTS).length > 4);
  assert.ok(valid(STALE_DRAFTS), ajv.errorsText(valid.errors));
  for (const wrong of [{ page_size: 0 }, { page_sise: 5 }, { policy: { pending: 0 } }, { policy: { pending: "soon" } }, { circuit_breaker: "on" }, { api_tokens: [{}] }]) assert.equal(valid(wrong), false, JSON.stringify(wrong));
});
