// Looks at every page of a site: narrow and wide, light and dark. Prints what is wrong, by page.
// Arguments after those of page.mjs: the site's address, a folder for pictures of the pages or "", the pages.
import { withPage } from "./page.mjs";

const widths = { narrow: 360, wide: 1280 };

// Runs in the page: what sticks out of the window, which pictures did not load, which text is hard to read.
function look() {
  const wrong = [];
  const root = document.documentElement;
  const canScroll = (element) => {
    for (let above = element.parentElement; above && above !== document.body; above = above.parentElement) {
      if (getComputedStyle(above).overflowX !== "visible") return true;
    }
    return false;
  };
  if (root.scrollWidth > root.clientWidth) wrong.push(`the page is ${root.scrollWidth} px wide`);
  const main = document.querySelector("[role=main], main") ?? document.body;
  for (const element of main.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width && box.right > root.clientWidth + 1 && !canScroll(element)) wrong.push(`${element.tagName} sticks out`);
  }
  for (const image of document.images) {
    if (!image.complete || !image.naturalWidth) wrong.push(`broken image ${image.getAttribute("src")}`);
    if (!image.alt) wrong.push(`image without words ${image.getAttribute("src")}`);
  }
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((part) => (part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  for (const element of main.querySelectorAll("h1, h2, h3, p, li, td, th, code, a")) {
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) wrong.push(`${element.tagName} "${element.innerText.slice(0, 30)}": contrast ${contrast.toFixed(1)}`);
  }
  return { wrong: [...new Set(wrong)], lightness: light(behind(document.body)) };
}

await withPage(async (page, _context, site, pictures, ...paths) => {
  const found = {};
  const loading = new Set();
  let said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.message}`));
  page.on("request", (request) => {
    loading.add(request);
    if (/^(https?|ws)/.test(request.url()) && !request.url().startsWith(site)) said.push(`from elsewhere: ${request.url()}`);
  });
  page.on("requestfinished", (request) => loading.delete(request));
  page.on("requestfailed", (request) => {
    loading.delete(request);
    said.push(`not loaded: ${request.url()}`);
  });
  page.on("response", (response) => response.status() >= 400 && said.push(`${response.status()}: ${response.url()}`));
  for (const path of paths) {
    const wrong = [];
    said = [];
    await page.goto(site + path, { waitUntil: "load" });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const [name, width] of Object.entries(widths)) {
        await page.setViewportSize({ width, height: 900 });
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const seen = await page.evaluate(look);
        if ((seen.lightness > 0.5) !== (colorScheme === "light")) seen.wrong.push("not in this colour scheme");
        wrong.push(...seen.wrong.map((fault) => `${name}, ${colorScheme}: ${fault}`));
        if (pictures) await page.screenshot({ path: `${pictures}/${path.replaceAll("/", "-")}-${name}-${colorScheme}.png`, fullPage: true });
      }
    }
    // A page that is left while it still loads something would be told of it.
    while (loading.size) await new Promise((done) => setTimeout(done, 20));
    wrong.push(...said);
    if (wrong.length) found[path] = wrong;
  }
  return found;
});
