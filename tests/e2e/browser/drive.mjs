// Follows a page to a notebook in JupyterLab and runs its first cell; prints the output, the address and the history.
// Arguments after those of page.mjs: the page.
import { withPage } from "./page.mjs";

const KEY_LIMIT_MS = 5000;

/** Runs in the page. At first JupyterLab shows a notebook without a kernel, and calls that idle. */
function kernelIsIdle() {
  const name = document.querySelector(".jp-KernelName")?.textContent;
  const status = document.querySelector(".jp-Notebook-ExecutionIndicator")?.dataset.status;
  return name && name !== "No Kernel" && status === "idle";
}

/** Runs in the page: whether the first cell has got this far, by its prompt. */
function promptIs(pattern) {
  return new RegExp(pattern).test(document.querySelector(".jp-CodeCell .jp-InputPrompt")?.textContent);
}

await withPage(async (page, context, address) => {
  // The page replaces itself at once: whoever waits for its end is told that it was interrupted.
  await page.goto(address, { waitUntil: "commit" });
  await page.waitForURL(/^http:/, { waitUntil: "commit" });
  await page.waitForFunction(kernelIsIdle);
  // A key pressed while JupyterLab still arranges itself is lost; a cell that has been run twice has no output meanwhile.
  for (let isTaken = false; !isTaken; ) {
    await page.click(".jp-CodeCell .jp-InputArea-editor");
    await page.keyboard.press("Control+Enter");
    isTaken = await page.waitForFunction(promptIs, "\\[[*\\d]", { timeout: KEY_LIMIT_MS }).catch(() => false);
  }
  await page.waitForFunction(promptIs, "\\[\\d");
  const output = await page.locator(".jp-CodeCell .jp-OutputArea-output pre").first().innerText();
  const client = await context.newCDPSession(page);
  const { entries } = await client.send("Page.getNavigationHistory");
  return { output: output.trim(), address: page.url(), history: entries.map((entry) => entry.url) };
});
