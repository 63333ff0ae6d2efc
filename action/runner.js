'use strict';
// How the action speaks to the runner: workflow commands on stdout, and the state that `main` leaves for `post`.

const fs = require('node:fs');
const path = require('node:path');

/** Escape text for a workflow command. @param {string} text @param {boolean} isProperty */
function escape(text, isProperty = false) {
  const data = text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
  return isProperty ? data.replace(/:/g, '%3A').replace(/,/g, '%2C') : data;
}

/** Print one annotation that says what went wrong and what to do. @param {string} title @param {string} message */
function error(title, message) {
  process.stdout.write(`::error title=${escape(title, true)}::${escape(message)}\n`);
}

/** Keep a value for `post`. @param {string} name @param {string} value one line */
function saveState(name, value) {
  fs.appendFileSync(required('GITHUB_STATE'), `${name}=${value}\n`);
}

/** Read what `main` kept for `post`; empty if it kept nothing. @param {string} name */
function readState(name) {
  return process.env[`STATE_${name}`] || '';
}

/** Read a variable that every runner sets. @param {string} name */
function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: this program is made to be run by GitHub Actions`);
  return value;
}

/** Make the folder of this step, for its owner alone. */
function makeFolder() {
  return fs.mkdtempSync(path.join(required('RUNNER_TEMP'), 'clinder-'));
}

module.exports = { error, makeFolder, readState, required, saveState };
