'use strict';
// Communication with the runner: workflow commands on stdout, and the state that `main` saves for `post`.

const fs = require('node:fs');
const path = require('node:path');

/** Escape text for a workflow command. @param {string} text @param {boolean} isProperty */
function escape(text, isProperty = false) {
  const data = text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
  return isProperty ? data.replace(/:/g, '%3A').replace(/,/g, '%2C') : data;
}

/** Print an error annotation. @param {string} title @param {string} message */
function error(title, message) {
  process.stdout.write(`::error title=${escape(title, true)}::${escape(message)}\n`);
}

/** Save a value for `post`. @param {string} name @param {string} value one line */
function saveState(name, value) {
  fs.appendFileSync(required('GITHUB_STATE'), `${name}=${value}\n`);
}

/** Read a value that `main` saved for `post`; empty if there is none. @param {string} name */
function readState(name) {
  return process.env[`STATE_${name}`] || '';
}

/** Get a variable that every runner sets. @param {string} name */
function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: this program is made to be run by GitHub Actions`);
  return value;
}

/** Create a folder for this step that only its owner can access. */
function makeFolder() {
  return fs.mkdtempSync(path.join(required('RUNNER_TEMP'), 'clinder-'));
}

module.exports = { error, makeFolder, readState, required, saveState };
