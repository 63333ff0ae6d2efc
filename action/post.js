'use strict';
// Stops the session, however the job ended.

const fs = require('node:fs');
const path = require('node:path');
const { inherit } = require('./environment');
const { runApart } = require('./processes');
const { error, readState } = require('./runner');

async function post() {
  const folder = readState('folder');
  const note = path.join(folder, 'python');
  if (!folder || !fs.existsSync(note)) {
    process.stdout.write('nothing to stop: no session was launched\n');
    if (folder) fs.rmSync(folder, { recursive: true, force: true });
    return 0;
  }
  const start = path.join(__dirname, 'start.py');
  const args = ['-I', '-X', 'utf8', start, 'down', folder];
  return runApart(fs.readFileSync(note, 'utf8'), args, inherit('program', 'network', 'action'));
}

post().then(
  (status) => { process.exitCode = status; },
  (failure) => {
    error('clinder: the session may be left running', failure.message);
    const folder = readState('folder');
    if (folder) fs.rmSync(folder, { recursive: true, force: true }); // it contains the session's token
    process.exitCode = 1;
  },
);
