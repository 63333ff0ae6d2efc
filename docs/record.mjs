// Draws in a headless Chromium: `node record.mjs PLAYWRIGHT CHROMIUM FOLDER MERMAID IN OUT`.
// IN is a Mermaid diagram (.mmd), which becomes an SVG, or a page (.html) with Mermaid diagrams, which becomes a PNG.
// It needs no network; the browser's own files go into FOLDER.
import { readFileSync, writeFileSync } from "node:fs";
import { withPage } from "../tests/e2e/browser/page.mjs";

const options = { args: ["--force-color-profile=srgb"], viewport: { width: 860, height: 600 }, deviceScaleFactor: 1.5 };
await withPage(async (page, _context, mermaid, from, to) => {
  const uncaught = [];
  page.on("pageerror", (error) => uncaught.push(error));
  const text = readFileSync(from, "utf8");
  const isDiagram = from.endsWith(".mmd");
  await page.setContent(isDiagram ? "<body></body>" : text);
  await page.addScriptTag({ path: mermaid });
  await page.evaluate(() => {
    const themeVariables = { primaryColor: "#fbeef1", primaryBorderColor: "#e66581", lineColor: "#57606a", fontSize: "14px" };
    window.mermaid.initialize({
      startOnLoad: false,
      theme: "base",
      themeVariables,
      htmlLabels: false,
      flowchart: { htmlLabels: false },
      fontFamily: "sans-serif",
      deterministicIds: true,
    });
  });
  if (isDiagram) {
    const drawn = await page.evaluate(async (diagram) => (await window.mermaid.render("picture", diagram)).svg, text);
    const [, width] = drawn.match(/max-width: ([\d.]+)px/);
    const plain = drawn.replace(/<svg ([^>]*)>/, (_, has) => {
      const kept = has.replace(/ ?(width|style|role|aria-\w+)="[^"]*"/g, "");
      return `<svg ${kept} width="${Math.ceil(width)}" role="img" style="background: #fff; border-radius: 6px">`;
    });
    writeFileSync(to, plain.replace(/(\d\.\d)\d+/g, "$1") + "\n");
  } else {
    await page.evaluate(() => window.mermaid.run({ querySelector: ".mermaid" }));
    await page.locator("main").screenshot({ path: to });
  }
  if (uncaught.length) throw uncaught[0];
}, options);
