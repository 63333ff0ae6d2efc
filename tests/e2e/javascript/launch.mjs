// Launches with the official client like a web page, prints each event as a line of JSON, and exits at the end.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client is written for browsers and needs these two.
globalThis.window = globalThis;
globalThis.document = { cookie: "", removeEventListener() {} };

const [modules, endpoint, spec, buildToken] = process.argv.slice(2);
const client = createRequire(`${modules}/`).resolve("@jupyterhub/binderhub-client/client.js");
const { BinderRepository } = await import(pathToFileURL(client));

const repository = new BinderRepository(spec, new URL(endpoint), { buildToken });
for await (const event of repository.fetch()) {
  console.log(JSON.stringify(event));
  if (event.phase === "ready" || event.phase === "failed") {
    repository.close();
    break;
  }
}
