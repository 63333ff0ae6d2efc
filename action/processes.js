'use strict';
// Child processes, also in a cancelled job: the runner sends SIGINT, 7.5 s later SIGTERM, and kills after 2.5 s more.

const { spawn } = require('node:child_process');

/** A child with an exit status other than 0. */
class Failed extends Error {
  /** @param {string} command @param {number} status @param {string} output */
  constructor(command, status, output) {
    super(`${command} ended with ${status}\n${output.trim()}`.trim());
    this.status = status;
  }
}

/** The job was cancelled, so nothing else may be started. */
class Cancelled extends Error {}

const statuses = { SIGINT: 130, SIGTERM: 143, SIGBREAK: 143 }; // SIGBREAK replaces SIGTERM on Windows
let cancelledBy = '';
let leave = () => {};

for (const signal of Object.keys(statuses)) {
  process.on(signal, () => {
    cancelledBy = signal;
    leave(signal);
  });
}
process.stdout.on('error', () => {}); // a closed stdout must not leave a session running

/** The exit status of a cancelled step. */
function cancelledStatus() {
  return statuses[cancelledBy] || 1;
}

/**
 * Run a program until it ends, and return its output.
 * @param {string} command @param {string[]} args
 * @param {{cwd: string, env: Record<string, string>}} options
 * @returns {Promise<string>}
 */
function run(command, args, options) {
  return new Promise((resolve, reject) => {
    if (cancelledBy) throw new Cancelled();
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { output += text; });
    }
    leave = () => child.kill();
    child.on('error', reject);
    child.on('close', (status) => {
      if (cancelledBy) reject(new Cancelled());
      else if (status === 0) resolve(output);
      else reject(new Failed([command, ...args].join(' '), status ?? 1, output));
    });
  });
}

/**
 * Run a program that can outlive this process, because a launch must be followed to its end so that no session is left
 * running. The program exits when its stdin closes, which happens however this process ends. It has its own process
 * group, so that signals for this process do not reach it.
 * @param {string} command @param {string[]} args @param {Record<string, string>} env
 * @returns {Promise<number>} its exit status
 */
function runApart(command, args, env) {
  return new Promise((resolve, reject) => {
    if (cancelledBy) throw new Cancelled();
    const child = spawn(command, args, { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true });
    child.stdin.on('error', () => {});
    child.stdout.pipe(process.stdout, { end: false });
    child.stderr.pipe(process.stdout, { end: false });
    leave = (signal) => {
      child.stdin.end();
      if (signal !== 'SIGINT') process.exit(cancelledStatus());
    };
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 1));
  });
}

module.exports = { Cancelled, cancelledStatus, run, runApart };
