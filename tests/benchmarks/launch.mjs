// The official JavaScript client as a counterpart of `clinder start`: the log to stderr, the session to stdout.
// With a number of launches, it launches that many in sequence, and reports the memory and open files of this process
// after a tenth of them and after all.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client is written for browsers and needs these two.
globalThis.window = globalThis;
globalThis.document = { cookie: "", removeEventListener() {} };

const [modules, endpoint, spec, launches] = process.argv.slice(2);
const client = createRequire(`${modules}/`).resolve("@jupyterhub/binderhub-client/client.js");
const { BinderRepository } = await import(pathToFileURL(client));

async function launch() {
  const repository = new BinderRepository(spec, new URL(endpoint), {});
  for await (const event of repository.fetch()) {
    process.stderr.write(event.message ?? "");
    if (event.phase === "ready" || event.phase === "failed") {
      repository.close();
      return `${event.url}?token=${event.token}`;
    }
  }
}

function held() {
  return { memory_mb: process.memoryUsage().rss / 1e6, files: readdirSync("/proc/self/fd").length };
}

if (Number(launches) === 1) {
  console.log(await launch());
} else {
  const tenth = Number(launches) / 10;
  let early;
  for (let number = 1; number <= Number(launches); number++) {
    await launch();
    if (number === tenth) early = held();
  }
  console.log(JSON.stringify({ early, late: held() }));
}
