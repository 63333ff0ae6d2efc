'use strict';
// The environment of child processes: the variables that they need, by the lists in clinder/system/inherited.json.

const fs = require('node:fs');
const path = require('node:path');

const LISTS = JSON.parse(fs.readFileSync(path.join(__dirname, '..', 'clinder', 'system', 'inherited.json'), 'utf8'));
const BUNDLES = ['PIP_CERT', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'];
const SYSTEM_CERTIFICATES = ['UV_SYSTEM_CERTS', 'UV_NATIVE_TLS']; // two names: uv before 0.11 knows the second alone

/**
 * Make the environment of a child that is started for these purposes.
 * @param {...string} purposes lists of clinder/system/inherited.json
 * @returns {Record<string, string>}
 */
function inherit(...purposes) {
  const names = new RegExp(`^(?:${purposes.flatMap((purpose) => LISTS[purpose]).join('|')})$`, 'i');
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.test(name)));
}

/**
 * Make the environment of an installer, as clinder/system/installers.py has it: uv uses the system's certificates, or those
 * that are named for pip, requests or curl.
 * @returns {Record<string, string>}
 */
function installerEnvironment() {
  const variables = inherit('program', 'network', 'installer');
  if (!SYSTEM_CERTIFICATES.some((name) => name in variables)) {
    for (const name of SYSTEM_CERTIFICATES) variables[name] = 'true';
  }
  if (!variables.SSL_CERT_FILE && !variables.SSL_CERT_DIR) {
    const bundle = BUNDLES.map((name) => variables[name]).find((file) => file && isFile(file));
    if (bundle) variables.SSL_CERT_FILE = bundle;
  }
  return variables;
}

/** @param {string} file */
function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

module.exports = { inherit, installerEnvironment };
