'use strict';
// Launches a session. The work is done in Python (clinder/github_action); this file only prepares and starts it.

const fs = require('node:fs');
const path = require('node:path');
const { inherit } = require('./environment');
const { Cancelled, cancelledStatus, runApart } = require('./processes');
const { SetupError, prepare } = require('./python');
const { error, makeFolder, saveState } = require('./runner');

const SECRETS = ['INPUT_BUILD-TOKEN', 'CLINDER_BUILD_TOKEN'];

/** Mask secrets before anything is printed. */
function maskSecrets() {
  for (const line of SECRETS.flatMap((name) => (process.env[name] || '').split(/[\r\n]+/))) {
    if (line.trim()) process.stdout.write(`::add-mask::${line.trim().replace(/%/g, '%25')}\n`);
  }
}

async function main() {
  maskSecrets();
  const folder = makeFolder();
  saveState('folder', folder); // before anything else, because `post` needs it even if this process is killed
  const python = await prepare();
  fs.writeFileSync(path.join(folder, 'python'), python);
  const start = path.join(__dirname, 'start.py');
  const args = ['-I', '-X', 'utf8', start, 'up', folder, String(process.ppid)];
  return runApart(python, args, inherit('program', 'network', 'action'));
}

main().then(
  (status) => { process.exitCode = status; },
  (failure) => {
    if (failure instanceof Cancelled) {
      process.exitCode = cancelledStatus();
      return;
    }
    const title = failure instanceof SetupError ? 'clinder: Python is missing' : 'clinder could not be installed';
    error(title, failure.message);
    process.exitCode = 1;
  },
);
