// The official JavaScript client in the place of `clinder start`: the log to stderr, the session to stdout.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client is written for browsers: it looks for these two.
globalThis.window = globalThis;
globalThis.document = { cookie: "", removeEventListener() {} };

const [modules, endpoint, spec] = process.argv.slice(2);
const client = createRequire(`${modules}/`).resolve("@jupyterhub/binderhub-client/client.js");
const { BinderRepository } = await import(pathToFileURL(client));

const repository = new BinderRepository(spec, new URL(endpoint), {});
for await (const event of repository.fetch()) {
  process.stderr.write(event.message ?? "");
  if (event.phase === "ready" || event.phase === "failed") {
    console.log(`${event.url}?token=${event.token}`);
    repository.close();
    break;
  }
}
