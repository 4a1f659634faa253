// Clicks through the built site in headless Chromium and looks for what is wrong: node site/look.mjs SITE CHROMIUM [PICTURES]
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join, normalize, relative, resolve } from "node:path";

const [site, chromium, pictures] = process.argv.slice(2);
const require = createRequire(resolve(".venv/npm/package.json")) // where `make look` puts them;
const { chromium: browser } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const PAGES = ["index.html", "lessons/02_the_variational_autoencoder.html", "api/objectives/MIWAE.html", "results/README.html"];
const LIMIT = 3e6; // bytes of a page with all it loads, but for MathJax
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
  ".png": "image/png", ".woff": "font/woff", ".woff2": "font/woff2", ".json": "application/json" };

const wrong = [];
const check = (right, what) => { if (!right) { wrong.push(what); console.log("WRONG", what); } };

function serve() {
  const server = createServer((request, response) => {
    const path = join(site, normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)));
    const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "index.html") : path;
    if (!existsSync(file)) { response.writeHead(404); return response.end(); }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

const files = (folder) => readdirSync(folder, { withFileTypes: true, recursive: true })
  .filter((entry) => entry.name.endsWith(".html") && !entry.name.startsWith("_")).map((entry) => relative(site, join(entry.parentPath ?? entry.path, entry.name)));

async function settled(page) { // formulas are set
  await page.evaluate(() => window.MathJax?.startup?.promise);
}

async function look(page, path, { axed = true, wide = true } = {}) {
  const faults = await page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    alts: [...document.images].filter((image) => !image.alt.trim()).map((image) => image.src.slice(-60)),
    broken: [...document.images].filter((image) => image.complete && !image.naturalWidth).length,
    raw: document.querySelectorAll(".math").length - document.querySelectorAll(".math mjx-container").length,
    errors: [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map((e) => e.title || e.textContent).slice(0, 3),
  }));
  check(faults.overflow <= 0, `${path}: ${faults.overflow} pixels too wide at ${page.viewportSize().width}`);
  check(!faults.alts.length, `${path}: pictures without an alternative text: ${faults.alts}`);
  check(!faults.broken, `${path}: ${faults.broken} pictures that do not load`);
  check(faults.raw <= 0, `${path}: ${faults.raw} formulas that are not set`);
  check(!faults.errors.length, `${path}: formulas with errors: ${faults.errors}`);
  if (!axed) return;
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of violations) {
    const text = `${path}: ${impact}, ${id}: ${nodes.length} × ${nodes[0].html.slice(0, 160)} ${nodes[0].target}`;
    if (["serious", "critical"].includes(impact)) check(false, text); else console.log("minor", text);
  }
}

const server = await serve();
const home = `http://127.0.0.1:${server.address().port}/`;
const profile = mkdtempSync(join(tmpdir(), "look-"));
const context = await browser.launchPersistentContext(profile, { executablePath: chromium, headless: true, args: FLAGS });
const page = context.pages()[0] ?? (await context.newPage());
let bytes = 0;
page.on("request", (request) => {
  const url = request.url();
  check(url.startsWith(home) || url.startsWith("data:") || url.startsWith("blob:"), `a request to ${url}`);
});
page.on("response", async (response) => {
  const url = response.url();
  check(response.status() < 400, `${response.status()} ${url}`);
  const path = url.startsWith(home) && join(site, decodeURIComponent(new URL(url).pathname));
  if (path && !url.includes("/mathjax/") && existsSync(path) && statSync(path).isFile()) bytes += statSync(path).size;
});
page.on("pageerror", (error) => check(false, `${page.url()}: ${error.message}`));

try {
  // From the landing page to a lesson's formula, a hit of the search, a page on a name
  await page.setViewportSize({ width: 1400, height: 900 });
  await page.goto(home);
  await page.getByRole("link", { name: "Start with lesson 00" }).click();
  await page.waitForURL(/00_start_here/);
  await page.getByRole("link", { name: /^01 · The reparameterization/ }).first().click();
  await page.waitForURL(/01_the_reparameterization_trick/);
  await settled(page);
  check((await page.locator(".math mjx-container").count()) > 50, "lesson 01 has few formulas");
  await page.goto(`${home}search.html?q=VampPrior`);
  const hit = page.locator("#search-results li a", { hasText: /^VampPrior$|vaekit.priors.VampPrior/ }).first();
  await hit.click({ timeout: 20000 });
  await page.waitForURL(/api\/priors\/VampPrior/);
  check(await page.getByText("pseudo-inputs").first().isVisible(), "the page on VampPrior says nothing");

  for (const theme of ["light", "dark"]) {
    for (const width of [1400, 400]) {
      await page.setViewportSize({ width, height: 900 });
      for (const path of PAGES) {
        await page.goto(home + path);
        await page.evaluate((mode) => { localStorage.setItem("mode", mode); localStorage.setItem("theme", mode); }, theme);
        await page.reload();
        await settled(page);
        await look(page, `${path}, ${theme}`);
        if (pictures) {
          mkdirSync(pictures, { recursive: true });
          const name = path.replace(/\W+/g, "_").replace("_html", "");
          await page.screenshot({ path: join(pictures, `${name}-${width}-${theme}.png`) });
        }
      }
    }
  }
  // Every page, narrow: nothing too wide, no formula left, nothing too large
  let largest = [0, ""], all = files(site);
  for (const path of all) {
    bytes = 0;
    await page.goto(home + path);
    await settled(page);
    await look(page, path, { axed: false });
    if (bytes > largest[0]) largest = [bytes, path];
    check(bytes < LIMIT, `${path}: ${(bytes / 1e6).toFixed(1)} MB`);
  }
  console.log(`${all.length} pages, the largest ${(largest[0] / 1e6).toFixed(1)} MB: ${largest[1]}`);
} finally {
  await context.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(wrong.length ? `${wrong.length} things are wrong` : "nothing is wrong");
process.exit(wrong.length ? 1 : 0);
