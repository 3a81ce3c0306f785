// The apps: what their own tools are called to check, build, serve and develop them. Each has a page with its owner's drafts, and
// makes a creation where it is posted to.

const wrangler = (port, ...entry) => ["wrangler", "dev", ...entry, "--port", port, "--inspector-port", "0"];
const TYPES = ["wrangler", "types"];

/** Without a framework of pages: installed together. */
const WORKERS = [
  { name: "TypeScript", home: "workers", folder: "typescript", check: [TYPES, ["tsc", "-p", "."]], serve: (port) => wrangler(port) },
  { name: "Hono", home: "workers", folder: "hono", check: [TYPES, ["tsc", "-p", "."]], serve: (port) => wrangler(port) },
  {
    name: "Vite", home: "workers", folder: "vite",
    check: [TYPES, ["tsc", "-p", "."]],
    build: [["vite", "build"]],
    serve: (port) => ["vite", "preview", "--port", port],
    develop: (port) => ["vite", "dev", "--port", port],
  },
];

const FRAMEWORKS = [
  {
    name: "SvelteKit", home: "sveltekit", make: "/make",
    check: [TYPES, ["svelte-kit", "sync"], ["svelte-check", "--fail-on-warnings"]],
    build: [["vite", "build"]],
    serve: (port) => wrangler(port, "src/worker.ts"),
    develop: (port) => ["vite", "dev", "--port", port],
  },
  {
    name: "Astro", home: "astro", make: "/make",
    check: [TYPES, ["astro", "check"]],
    build: [["astro", "build"]],
    serve: (port) => ["astro", "preview", "--port", port],
    develop: (port) => ["astro", "dev", "--port", port],
  },
  {
    name: "React Router", home: "react-router", make: "/make",
    check: [TYPES, ["react-router", "typegen"], ["tsc", "-p", "."]],
    build: [["react-router", "build"]],
    serve: (port) => ["vite", "preview", "--port", port],
    develop: (port) => ["react-router", "dev", "--port", port],
  },
  {
    name: "Next.js", home: "next", make: "/make",
    // Its build checks the types.
    check: [[...TYPES, "--env-interface", "CloudflareEnv"]],
    build: [["opennextjs-cloudflare", "build"]],
    serve: (port) => wrangler(port),
    develop: (port) => ["next", "dev", "-p", port],
  },
];

export const apps = process.env.FRAMEWORKS === "all" ? [...WORKERS, ...FRAMEWORKS] : WORKERS;
