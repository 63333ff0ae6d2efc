'use strict';
// The Python that runs clinder: finds one, and creates a virtual environment with pinned and hashed dependencies.

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { inherit, installerEnvironment } = require('./environment');
const { Cancelled, run } = require('./processes');
const { required } = require('./runner');

const OLDEST = [3, 11];
const REQUIREMENTS = path.join(__dirname, 'requirements.txt');
const SETTINGS = path.join(__dirname, 'settings.py');
const PINS = ['--require-hashes', '--only-binary', ':all:', '--no-deps', '--requirement', REQUIREMENTS];
const IS_WINDOWS = process.platform === 'win32';
const NOT_FOUND =
  'Add a step before this one: actions/setup-python with python-version "3.13"; or install Python in the image of ' +
  'the job\'s container.';
const NEEDED = 'clinder needs Python 3.11 or later, and finds none on this runner.';

/** A problem that the user must fix; the message says how. */
class SetupError extends Error {}

/**
 * Run a program outside of the workspace. Checked-out files must not be run as the program (Windows searches the
 * current folder first), and must not configure what is installed or from where.
 * @param {string} command @param {string[]} args @param {Record<string, string>} env
 */
function runAway(command, args, env = inherit('program')) {
  return run(command, args, { cwd: required('RUNNER_TEMP'), env });
}

/** List possible Pythons, the most likely first. @returns {string[][]} commands with their first arguments */
function candidates() {
  const names = IS_WINDOWS ? ['python', 'python3'] : ['python3', 'python'];
  const found = names.map((name) => [name]);
  const installed = process.env.pythonLocation; // set by actions/setup-python
  if (installed) found.unshift([path.join(installed, IS_WINDOWS ? 'python.exe' : 'bin/python3')]);
  if (IS_WINDOWS) found.push(['py', '-3']);
  for (const minor of [14, 13, 12, 11]) found.push([`python3.${minor}`]);
  return found;
}

/** Find a Python that is new enough. @returns {Promise<{path: string, version: string} | null>} */
async function findPython() {
  const ask = 'import sys; print(*sys.version_info[:3], sys.executable)';
  for (const [command, ...args] of candidates()) {
    try {
      const [major, minor, patch, ...rest] = (await runAway(command, [...args, '-I', '-c', ask])).trim().split(' ');
      if (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]) {
        return { path: rest.join(' '), version: `${major}.${minor}.${patch}` };
      }
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      // otherwise it does not exist or is not a Python: try the next one
    }
  }
  return null;
}

/** Whether uv is available. */
async function hasUv() {
  return runAway('uv', ['--version']).then(() => true, () => false);
}

/** The Python of an environment. @param {string} folder */
function pythonOf(folder) {
  return path.join(folder, ...(IS_WINDOWS ? ['Scripts', 'python.exe'] : ['bin', 'python']));
}

/**
 * Create the environment, unless an earlier step of this job has created it.
 * @returns {Promise<string>} its Python
 */
async function prepare() {
  const [found, isUvThere] = await Promise.all([findPython(), hasUv()]);
  if (!found && !isUvThere) throw new SetupError(`${NEEDED} ${NOT_FOUND}`);
  const content = [fs.readFileSync(REQUIREMENTS), found ? `${found.path} ${found.version}` : 'uv'];
  const digest = crypto.createHash('sha256').update(content.join('\n')).digest('hex').slice(0, 16);
  const folder = path.join(required('RUNNER_TEMP'), `clinder-python-${digest}`);
  const marker = path.join(folder, 'complete');
  if (!fs.existsSync(marker)) {
    fs.rmSync(folder, { recursive: true, force: true });
    process.stdout.write(`installing clinder with ${isUvThere ? 'uv' : `pip, for Python ${found.version}`}\n`);
    await (isUvThere ? installWithUv(folder, found?.path) : installWithPip(folder, found?.path));
    fs.writeFileSync(marker, '');
  }
  return pythonOf(folder);
}

/** @param {string} folder @param {string | undefined} python none: uv finds or brings one, by the user's settings */
async function installWithUv(folder, python) {
  const env = installerEnvironment();
  const { UV_CONFIG_FILE, UV_NO_CONFIG, ...plain } = env; // they would contradict the options
  if (python) await runAway('uv', ['venv', '--quiet', '--no-config', '--python', python, folder], plain);
  else await runAway('uv', ['venv', '--quiet', '--python', '>=3.11', folder], env);
  const config = path.join(folder, 'uv.toml');
  fs.writeFileSync(config, await runAway(pythonOf(folder), ['-I', '-X', 'utf8', SETTINGS, 'uv'], env));
  const install = ['pip', 'install', '--quiet', '--config-file', config, '--python', pythonOf(folder), ...PINS];
  await runAway('uv', install, plain);
}

/** @param {string} folder @param {string} python */
async function installWithPip(folder, python) {
  try {
    await runAway(python, ['-I', '-m', 'venv', folder]);
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    const hint = 'It needs the module venv (on Debian and Ubuntu: apt-get install python3-venv), or uv on PATH.';
    throw new SetupError(`${python} cannot make a virtual environment. ${hint}\n${error.message}`);
  }
  const env = installerEnvironment();
  const settings = JSON.parse(await runAway(pythonOf(folder), ['-I', '-X', 'utf8', SETTINGS, 'pip'], env));
  const { PIP_CONFIG_FILE, ...others } = env;
  const pip = ['-I', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', ...PINS];
  await runAway(pythonOf(folder), pip, { ...settings, ...others });
}

module.exports = { SetupError, prepare };
