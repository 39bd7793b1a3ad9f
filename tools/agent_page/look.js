// Opens each sample of the page in chromium, under its content security policy: see tools/agent-page.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const puppeteer = require("puppeteer-core");

const dir = path.resolve(process.argv[2]);
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const policy = fs.readFileSync(path.join(dir, "policy"), "utf8");
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 900 } };

function serve() {
  const server = http.createServer((request, response) => {
    const file = path.join(dir, path.normalize(request.url));
    if (!file.startsWith(dir) || !fs.existsSync(file)) return response.writeHead(404).end();
    response.setHeader("content-security-policy", policy);
    response.setHeader("content-type", TYPES[path.extname(file)]);
    response.end(fs.readFileSync(file));
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

async function look(browser, base, sample, size, scheme, wrong) {
  const page = await browser.newPage();
  await page.setViewport(SIZES[size]);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  page.on("console", (message) => message.type() === "error" && wrong.push(`${sample} ${size}: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`${sample} ${size}: ${error.message}`));
  page.on("dialog", () => wrong.push(`${sample} ${size}: a script of a name ran`));
  await page.goto(`${base}/${sample}.html`, { waitUntil: "networkidle0" });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  if (wide > 0) wrong.push(`${sample} ${size}: ${wide} px are outside of the screen`);
  await page.screenshot({ path: path.join(dir, `${sample}-${size}-${scheme}.png`), fullPage: true });
  // An isolated world: the page's policy would refuse the script.
  const session = await page.createCDPSession();
  const { frameTree } = await session.send("Page.getFrameTree");
  const world = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const run = async (expression) => {
    const answer = await session.send("Runtime.evaluate", {
      expression, contextId: world.executionContextId, awaitPromise: true, returnByValue: true,
    });
    if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.exception.description);
    return answer.result.value;
  };
  await run(`${axe}; 1`);
  const found = await run("axe.run(document).then(({ violations, passes }) => ({ violations, passes: passes.length }))");
  if (!(found.passes > 10)) wrong.push(`${sample}: axe-core checked nothing`);
  for (const { id, help, nodes } of found.violations) {
    wrong.push(`${sample} ${size} ${scheme}: ${id}: ${help}: ${nodes.map((n) => n.html).join(" ").slice(0, 300)}`);
  }
  await page.close();
  return found.passes;
}

async function main() {
  const server = await serve();
  const base = `http://127.0.0.1:${server.address().port}`;
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"],
  });
  const wrong = [];
  let looks = 0;
  for (const file of fs.readdirSync(dir).filter((name) => name.endsWith(".html"))) {
    for (const size of Object.keys(SIZES)) {
      for (const scheme of ["light", "dark"]) {
        await look(browser, base, path.basename(file, ".html"), size, scheme, wrong);
        looks += 1;
      }
    }
  }
  await browser.close();
  server.close();
  console.log(`${looks} looks, ${wrong.length} violations; the pictures are in ${dir}`);
  if (wrong.length > 0) {
    console.error(wrong.join("\n"));
    process.exit(1);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
