// The packed package, installed from its tarball and used unconfigured: built and run in each tool that users have.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, extname, join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Miniflare } from "miniflare";
import { chromium } from "playwright-core";
import { which } from "../../scripts/lib.mjs";
import { EXPECTED } from "./consumers/fixtures.mjs";
import { install, ok, pack, root } from "./consumers/install.mjs";

let home;
let bin;
let tarball;
let remove;
let browser;
/** The longest of them is built while the others run. */
let next;

before(async () => {
  ({ home, bin, tarball, remove } = await install("tests/package/consumers"));
  next = ok(bin("next"), ["build"], join(home, "next"));
  // Awaited by its test, which may come after it has failed.
  next.catch(() => {});
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  remove?.();
});

/** What a page's title becomes, and whether its badge flipped; its console has to stay free of errors. */
async function look(url, { lack = () => {} } = {}) {
  const page = await browser.newPage();
  await page.addInitScript(lack);
  const problems = [];
  page.on("console", (message) => message.type() === "error" && !message.location().url.includes("favicon") && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(url);
  await page.waitForFunction(() => document.title !== "waiting", null, { timeout: 15_000 }).catch(() => {});
  assert.deepEqual(problems, []);
  assert.equal(await page.title(), EXPECTED);
  assert.equal(await page.locator("stale-badge").innerText(), "❌ Failed");
  await page.close();
}

/** Serves a folder, with the packages beside it, under a Content-Security-Policy. */
async function serve(folder, policy, use) {
  const types = { ".html": "text/html", ".js": "text/javascript" };
  const server = createServer(({ url }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const path = pathname.startsWith("/node_modules/") ? join(home, pathname) : join(folder, pathname === "/" ? "index.html" : pathname);
    try {
      const text = readFileSync(path);
      response.setHeader("Content-Type", types[extname(path)] ?? "application/octet-stream");
      if (policy) response.setHeader("Content-Security-Policy", policy);
      response.end(text);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    await use(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

// The machine's own Node, of which 20 is the oldest that will do, and the newest, which this project brings.
const path = process.env.PATH.split(delimiter).filter((folder) => !folder.includes("node_modules"));
const nodes = new Set([which("node"), path.map((folder) => join(folder, "node")).find(readable)]);
function readable(file) {
  try {
    return readFileSync(file).length > 0;
  } catch {
    return false;
  }
}

for (const node of [...nodes].filter(Boolean)) {
  for (const file of ["main.mjs", "main.cjs"]) {
    test(`Node ${node.includes("node_modules") ? "newest" : "of the machine"}: ${file}`, async () => {
      assert.equal(await ok(node, [file], join(home, "node")), EXPECTED);
    });
  }
}

test("esbuild", async () => {
  const folder = join(home, "bundle");
  await ok(bin("esbuild"), ["main.js", "--bundle", "--minify", "--outfile=esbuild.cjs"], folder);
  assert.equal(await ok("node", ["esbuild.cjs"], folder), EXPECTED);
});

test("rollup", async () => {
  const folder = join(home, "bundle");
  await ok(bin("rollup"), ["main.js", "-p", "@rollup/plugin-node-resolve", "-f", "es", "-o", "rollup.mjs"], folder);
  assert.equal(await ok("node", ["rollup.mjs"], folder), EXPECTED);
});

test("webpack", async () => {
  const folder = join(home, "bundle");
  const { default: webpack } = await import(pathToFileURL(join(home, "node_modules/webpack/lib/index.js")));
  assert.equal(await ok("node", [await pack(webpack, folder)], folder), EXPECTED);
});

test("Node without WebAssembly", async () => {
  for (const file of ["main.mjs", "main.cjs"]) assert.ok((await ok("node", ["--jitless", file], join(home, "node"))).includes(EXPECTED));
});

test("Vite, built", async () => {
  const folder = join(home, "vite");
  await ok(bin("vite"), ["build"], folder);
  await serve(join(folder, "dist"), "", look);
});

test("Vite, built with the entry that falls back, in a browser without WebAssembly", async () => {
  const folder = join(home, "vite-auto");
  await ok(bin("vite"), ["build"], folder);
  const lack = () => { delete globalThis.WebAssembly; };
  await serve(join(folder, "dist"), "", (url) => look(url, { lack }));
  await serve(join(folder, "dist"), "", look);
});

test("Vite, its development server", async () => {
  const folder = join(home, "vite");
  const { createServer } = await import(pathToFileURL(join(home, "node_modules/vite/dist/node/index.js")));
  const server = await createServer({ root: folder, configFile: false, logLevel: "error", server: { port: 0, host: "127.0.0.1" } });
  await server.listen();
  try {
    await look(server.resolvedUrls.local[0]);
  } finally {
    await server.close();
  }
});

test("Vitest", () => ok(bin("vitest"), ["run"], join(home, "vitest")));

test("Jest", () => ok(bin("jest"), [], join(home, "jest")));

test("Next.js: server component, client component, edge route", async () => {
  const folder = join(home, "next");
  await next;
  const server = spawn(process.execPath, [join(home, "node_modules/next/dist/bin/next"), "start", "-p", "0", "-H", "127.0.0.1"], { cwd: folder, env: { ...process.env, NODE_OPTIONS: "", NODE_ENV: undefined } });
  try {
    const url = await new Promise((done, fail) => {
      let text = "";
      const read = (chunk) => {
        text += chunk;
        const found = text.match(/http:\/\/127\.0\.0\.1:\d+/);
        if (found) done(found[0]);
      };
      server.stdout.on("data", read);
      server.stderr.on("data", read);
      server.on("exit", () => fail(new Error(text)));
    });
    assert.equal(await (await fetch(`${url}/edge`)).text(), EXPECTED);
    const html = await (await fetch(url)).text();
    assert.ok(html.includes(EXPECTED) && html.includes("Pending"), html);
    const page = await browser.newPage();
    const problems = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && !message.location().url.includes("favicon") && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.message));
    // The visitor's clock is two hours ahead, which is no reason to call a draft failed.
    await page.addInitScript(() => {
      const { now } = Date;
      Date.now = () => now() + 7_200_000;
    });
    await page.goto(url);
    assert.equal(await page.locator("#server").innerText(), EXPECTED);
    await page.locator("#hydrated").waitFor();
    assert.deepEqual([await page.locator("#badge").innerText(), await page.locator("#verdict").innerText()], ["⏳ Pending", "fresh"]);
    await page.locator("#badge[data-verdict=stale]").waitFor({ timeout: 60_000 });
    assert.deepEqual([await page.locator("#badge").innerText(), await page.locator("#verdict").innerText()], ["❌ Failed", "stale"]);
    assert.deepEqual(problems, []);
    await page.close();
  } finally {
    server.kill();
  }
});

test("Wrangler, and what it bundles on workerd", async () => {
  const folder = join(home, "workers");
  await ok(join(root, "node_modules/.bin/wrangler"), ["deploy", "--dry-run", "--outdir", "out"], folder);
  const out = join(folder, "out");
  const modules = readdirSync(out).filter((name) => /\.(js|wasm)$/.test(name)).map((name) => ({
    type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: join(out, name),
    contents: name.endsWith(".wasm") ? readFileSync(join(out, name)) : readFileSync(join(out, name), "utf8"),
  }));
  modules.sort((a, b) => a.type.localeCompare(b.type) * -1);
  const miniflare = new Miniflare({ modules, modulesRoot: out, compatibilityDate: "2026-07-01", cf: false });
  try {
    assert.equal(await (await miniflare.dispatchFetch("http://localhost/")).text(), EXPECTED);
  } finally {
    await miniflare.dispose();
  }
});

test("a page without a bundler", () => serve(join(home, "plain"), "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'", look));

test("a page whose policy forbids WebAssembly", () =>
  serve(join(home, "plain"), "default-src 'none'; script-src 'self'", (url) => look(`${url}/strict.html`)));

for (const resolution of ["nodenext", "bundler"]) {
  test(`tsc, ${resolution}`, () => ok(bin("tsc"), ["-p", `${resolution}.json`], join(home, "types")));
}

test("publint", async () => {
  const output = await ok(bin("publint"), [tarball, "--strict"], home);
  assert.match(output, /All good!/);
});

// Workers are modules: there is no CommonJS of this one.
test("are the types wrong", () => ok(bin("attw"), [tarball, "--exclude-entrypoints", "./draft.wasm", "./worker"], home));
