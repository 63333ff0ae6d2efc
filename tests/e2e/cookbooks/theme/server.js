// Serves the pages that MyST requests for a static site: each is the complete JSON of the page, inside HTML.
const http = require('node:http');

const { BASE_URL = '', CONTENT_CDN_PORT, HOST, PORT } = process.env;

async function answer(request, response) {
  const name = request.url.replace(/^\/|\.json$/g, '').replaceAll('/', '.');
  const found = await fetch(`http://${HOST}:${CONTENT_CDN_PORT}/content/${name || 'index'}.json`);
  const text = found.ok ? await found.text() : '';
  response.end(request.url.endsWith('.json') ? text : `<!doctype html><base href="${BASE_URL}/"><pre>${text}</pre>\n`);
}

const server = http.createServer(answer);
server.listen(PORT, HOST, () => console.log(`http://${HOST}:${PORT}`));

// MyST leaves without ending what it started: a runner would, after the job.
const content = `http://${HOST}:${CONTENT_CDN_PORT}/`;
setInterval(() => fetch(content).catch(() => process.exit()), 100);
