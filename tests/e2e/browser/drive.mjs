// Follows a page in a headless Chromium to a notebook in JupyterLab, runs its first cell, and tells what it saw.
// Arguments: the folder of playwright-core, the browser, a folder for its profile, the page.
import { createRequire } from "node:module";

const [playwright, executablePath, profile, address] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const limit = 60_000;
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: [...quiet, "--disable-component-update", "--disable-sync"],
});
const seen = {};
try {
  const page = context.pages()[0] ?? (await context.newPage());
  await page.goto(address);
  await page.waitForURL(/^http:/, { timeout: limit });
  await page.waitForSelector(".jp-Notebook .jp-CodeCell", { timeout: limit });
  await page.waitForSelector(".jp-Notebook-ExecutionIndicator[data-status=idle]", { timeout: limit });
  const output = page.locator(".jp-OutputArea-output pre").first();
  // A key pressed while the page still arranges itself is lost: so again, until there is an output.
  for (const until = Date.now() + limit; Date.now() < until && !(await output.isVisible()); ) {
    await page.click(".jp-Notebook .jp-CodeCell .jp-InputArea-editor");
    await page.keyboard.press("Control+Enter");
    await output.waitFor({ timeout: 3000 }).catch(() => {});
  }
  seen.output = (await output.innerText()).trim();
  seen.address = page.url();
  const client = await context.newCDPSession(page);
  const { entries } = await client.send("Page.getNavigationHistory");
  seen.history = entries.map((entry) => entry.url);
} finally {
  console.log(JSON.stringify(seen));
  await context.close();
}
