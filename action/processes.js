'use strict';
// Child processes, and what becomes of them when a job is cancelled: SIGINT, 7.5 s later SIGTERM, 2.5 s later the end.

const { spawn } = require('node:child_process');

/** A child that did not end with 0. */
class Failed extends Error {
  /** @param {string} command @param {number} status @param {string} output */
  constructor(command, status, output) {
    super(`${command} ended with ${status}\n${output.trim()}`.trim());
    this.status = status;
  }
}

/** The job was cancelled: nothing more is to be begun. */
class Cancelled extends Error {}

const statuses = { SIGINT: 130, SIGTERM: 143, SIGBREAK: 143 }; // SIGBREAK is what Windows has for SIGTERM
let cancelledBy = '';
let leave = () => {};

for (const signal of Object.keys(statuses)) {
  process.on(signal, () => {
    cancelledBy = signal;
    leave(signal);
  });
}
process.stdout.on('error', () => {}); // nobody listens any more: that is no reason to leave a session behind

/** The exit status of a cancelled step. */
function cancelledStatus() {
  return statuses[cancelledBy] || 1;
}

/**
 * Run a program to its end and return what it printed.
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
 * Run a program that outlives this one where it must: who launches has to hear the launch out, so that no session is
 * left behind. The end of its input is its signal to leave, and comes when this process ends in whatever way. It has
 * a process group of its own, so that no signal for this process reaches it.
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
