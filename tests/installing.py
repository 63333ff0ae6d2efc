"""The environment of the installers that the tests themselves use: pip, uv and npm trust the same certificates."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AT_START = dict(os.environ)
"""The environment before any test has changed it: with its proxies, settings and home folder."""
_BUNDLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def installer_environment(at_start: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment to install with; processes that run in it are not measured.

    A network can have a certificate authority of its own. pip trusts it where the system does, or where one of several
    variables names its file; uv and npm have to be told.
    """
    env = {name: value for name, value in (at_start or AT_START).items() if not name.startswith("COVERAGE_")}
    for name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):  # uv before 0.11 knows the second alone
        env.setdefault(name, "true")
    named = [env[name] for name in _BUNDLES if Path(env.get(name, "")).is_file()]
    if named:
        env["SSL_CERT_FILE"] = named[0]
    bundle = named[0] if named else ssl.get_default_verify_paths().cafile
    if bundle:
        env.setdefault("NODE_EXTRA_CA_CERTS", bundle)
    return env
