// The smallest program of each kind that uses the package, as its users would write it.

export const EXPECTED = "Generation timeout: Task stuck in pending status for 18.2 hours";

const call = `check({ status: "pending", created_at: 1_699_934_480_000 }, { now: 1_700_000_000_000 }).error`;
const esm = `import { check } from "stale-drafts";\nconsole.log(${call});\n`;
const page = (script) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>waiting</title><body>${script}</body></html>`;
const titled = `import { check } from "stale-drafts";\nimport "stale-drafts/element";\ndocument.title = ${call};\n`;
const badge = `<stale-badge status="pending" created-at="1000000000000">⏳ Pending</stale-badge>`;

export const FIXTURES = {
  node: {
    "main.mjs": esm,
    "main.cjs": `const { check, policy } = require("stale-drafts");\npolicy({ pending: 1 });\nfor (const entry of ["client", "element", "js", "js/client", "js/element", "js/react", "auto", "auto/client", "auto/element", "texts", "texts/de", "texts/ja"]) require("stale-drafts/" + entry);\nconsole.log(${call});\n`,
  },
  bundle: { "main.js": esm, "package.json": `{ "type": "module" }` },
  vite: { "index.html": page(`${badge}<script type="module" src="/main.js"></script>`), "main.js": titled },
  vitest: {
    "package.json": `{ "type": "module" }`,
    "main.test.js": `import { check } from "stale-drafts";\nimport { expect, test } from "vitest";\ntest("works", () => expect(${call}).toBe(${JSON.stringify(EXPECTED)}));\n`,
  },
  jest: {
    "package.json": `{ "name": "jest-user" }`,
    "main.test.js": `const { check } = require("stale-drafts");
test("works", () => expect(${call}).toBe(${JSON.stringify(EXPECTED)}));
test("another realm's dates", () => {
  const { error } = check({ status: "pending", created_at: structuredClone(new Date(1_699_934_480_000)) }, { now: new Date(1_700_000_000_000) });
  expect(error).toBe(${JSON.stringify(EXPECTED)});
});
`,
  },
  jsdom: {
    "package.json": `{ "name": "jsdom-user", "jest": { "testEnvironment": "jsdom" } }`,
    "main.test.js": `require("stale-drafts/element");
test("the element", () => {
  document.body.innerHTML = '${badge}';
  expect(document.querySelector("stale-badge").textContent).toBe("❌ Failed");
});
`,
  },
  webpack4: {
    "main.js": `import { check } from "stale-drafts";\nimport "stale-drafts/element";\nimport { policy } from "stale-drafts/js";\nimport { StaleBadge } from "stale-drafts/js/element";\nif (typeof StaleBadge === "function" && policy({ pending: 1 })) console.log(${call.replaceAll("_", "").replace("createdat", "created_at")});\n`,
  },
  next: {
    "package.json": `{ "private": true, "dependencies": { "next": "*", "react": "*", "react-dom": "*" } }`,
    "app/layout.js": `export default function Layout({ children }) {\n  return <html lang="en"><body>{children}</body></html>;\n}\n`,
    "app/page.js": `import { check } from "stale-drafts";\nimport Client from "./client";\nexport const dynamic = "force-dynamic";\nexport default function Page() {\n  return <main><p id="server">{${call}}</p><Client now={Date.now()} /></main>;\n}\n`,
    "app/client.js": `"use client";\nimport { useEffect, useState } from "react";\nimport { StaleBadge, useVerdict } from "stale-drafts/react";\nexport default function Client({ now }) {\n  const draft = { status: "pending", created_at: now - 3_600_000 + 20_000 };\n  const { verdict } = useVerdict(draft, { now });\n  const [hydrated, setHydrated] = useState(false);\n  useEffect(() => setHydrated(true), []);\n  return <>{hydrated && <u id="hydrated">yes</u>}<StaleBadge id="badge" draft={draft} now={now} /><i id="verdict">{verdict}</i></>;\n}\n`,
    "app/edge/route.js": `import { check } from "stale-drafts";\nexport const runtime = "edge";\nexport const GET = () => new Response(${call});\n`,
  },
  workers: {
    "wrangler.toml": `name = "user"\nmain = "main.js"\ncompatibility_date = "2026-07-01"\n`,
    "main.js": `import { check, policy } from "stale-drafts";\nimport "stale-drafts/element";\nexport default { fetch: () => new Response((policy({ pending: 1 }), ${call})) };\n`,
  },
  plain: {
    "index.html": page(`${badge}<script type="module" src="/main.js"></script>`),
    "main.js": titled.replaceAll(/"stale-drafts(\/element)?"/g, (_, entry) => `"/node_modules/stale-drafts/dist/esm/${entry ? "element" : "index"}.js"`),
    "strict.html": page(`${badge}<script type="module" src="/strict.js"></script>`),
    "strict.js": titled.replaceAll(/"stale-drafts(\/element)?"/g, (_, entry) => `"/node_modules/stale-drafts/dist/js/${entry ? "element" : "index"}.js"`),
  },
  "vite-auto": { "index.html": page(`${badge}<script type="module" src="/main.js"></script>`), "main.js": titled.replaceAll("\"stale-drafts", "\"stale-drafts/auto") },
  types: {
    "main.mts": `import { check, policy, watch, type Verdict } from "stale-drafts";\nimport { StaleBadge } from "stale-drafts/react";\nimport { StaleBadge as Element } from "stale-drafts/element";\nimport { createClient, type Drafts } from "stale-drafts/client";\nimport * as js from "stale-drafts/js";\nexport const list = (): Promise<Drafts> => createClient().list();\nconst verdict: Verdict = check({ status: "pending", created_at: new Date() }, { policy: policy({ kinds: { video: { processing: 6 } } }) });\nconst error: string | null = js.check({ status: "draft" }).error;\nwatch([], {}, (verdicts) => verdicts.length);\nconst badge: Element = document.createElement("stale-badge");\n// @ts-expect-error a preset that there is not\ncheck({ status: "pending" }, { policy: "prod" });\n// @ts-expect-error a key that there is not\npolicy({ max_age_hour: 1 });\nexport { StaleBadge, badge, error, verdict };\n`,
    "main.cts": `import stale = require("stale-drafts");\nconst error: string | null = stale.check({ status: "draft" }).error;\nexport { error };\n`,
    "main.ts": `import { check } from "stale-drafts";\nexport const error: string | null = check({ status: "draft" }).error;\n`,
    "old.ts": `import { check, Verdict } from "stale-drafts";\nimport { StaleBadge } from "stale-drafts/react";\nimport { StaleBadge as Element } from "stale-drafts/element";\nimport { createClient } from "stale-drafts/client";\nimport * as js from "stale-drafts/js";\nimport { useVerdict } from "stale-drafts/js/react";\nconst verdict: Verdict = check({ status: "draft" });\n// @ts-expect-error a preset that there is not\njs.check({ status: "pending" }, { policy: "prod" });\nconst badge: Element = document.createElement("stale-badge");\nexport { StaleBadge, badge, createClient, useVerdict, verdict };\n`,
    "node10.json": `{ "compilerOptions": { "strict": true, "noEmit": true, "module": "commonjs", "moduleResolution": "node10", "types": [], "target": "es2022", "lib": ["es2022", "dom"] }, "files": ["old.ts"] }`,
    "nodenext.json": `{ "compilerOptions": { "strict": true, "noEmit": true, "module": "nodenext", "moduleResolution": "nodenext", "target": "es2022", "lib": ["es2022", "dom"] }, "files": ["main.mts", "main.cts"] }`,
    "bundler.json": `{ "compilerOptions": { "strict": true, "noEmit": true, "module": "esnext", "moduleResolution": "bundler", "target": "es2022", "lib": ["es2022", "dom"] }, "files": ["main.mts", "main.ts"] }`,
  },
};
