// Opens a page in a headless Chromium for a script; where that fails, explains why.
//
// A script is started with the folder of playwright-core, the browser, a folder for the browser's files, and arguments
// of its own. What it finds is printed as JSON. If it fails, stderr has the error, the page's address, console, failed
// requests and text, and the path of a screenshot.
import { createRequire } from "node:module";
import { join } from "node:path";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const LIMIT_MS = 300_000; // of the whole script; whoever starts it waits longer, for the explanation
const STEP_LIMIT_MS = 180_000; // of each thing that is waited for, which the error then names
const EXPLANATION_LIMIT_MS = 15_000;
const MESSAGES = 100;
const CHARACTERS = 4000;

/** Call `use(page, context, ...arguments of the script)` and print what it returns; `options` are the browser's. */
export async function withPage(use, { args = [], ...options } = {}) {
  const [playwright, executablePath, folder, ...rest] = process.argv.slice(2);
  const { chromium } = createRequire(import.meta.url)(playwright);
  const said = [];
  let context;
  let page;
  const work = async () => {
    const all = { executablePath, args: [...ARGUMENTS, ...args], timeout: STEP_LIMIT_MS, ...options };
    context = await chromium.launchPersistentContext(join(folder, "profile"), all);
    context.setDefaultTimeout(STEP_LIMIT_MS);
    page = context.pages()[0] ?? (await context.newPage());
    listen(page, (message) => said.push(message.slice(0, CHARACTERS)));
    return await use(page, context, ...rest);
  };
  try {
    const found = await within(LIMIT_MS, work());
    if (found !== undefined) console.log(JSON.stringify(found));
  } catch (error) {
    process.exitCode = 1;
    console.error([error.stack, ...(await explain(page, said, join(folder, "failed.png")))].join("\n"));
  }
  await within(EXPLANATION_LIMIT_MS, context?.close()).catch(() => process.exit());
}

/** Wait for a promise; fails after so many milliseconds. */
async function within(limit, promise) {
  let timer;
  const end = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done after ${limit / 1000} s`)), limit);
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
  }
}

function listen(page, say) {
  page.on("console", (message) => say(`console, ${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => say(`uncaught error: ${error.stack}`));
  page.on("crash", () => say("the page has crashed"));
  page.on("requestfailed", (request) => say(`${request.failure()?.errorText}: ${request.method()} ${request.url()}`));
  page.on("response", (response) => response.status() >= 400 && say(`${response.status()}: ${response.url()}`));
}

async function explain(page, said, picture) {
  if (!page) return ["there was no page yet"];
  const look = async () => [
    `--- text of the page\n${(await page.evaluate(() => document.body.innerText)).slice(0, CHARACTERS)}`,
    `--- screenshot: ${(await page.screenshot({ path: picture })) && picture}`,
  ];
  const seen = await within(EXPLANATION_LIMIT_MS, look()).catch((error) => [`the page cannot be seen: ${error.message}`]);
  return [`--- page: ${page.url()}`, ...said.slice(-MESSAGES), ...seen];
}
