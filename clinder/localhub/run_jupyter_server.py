"""Run a Jupyter Server that ends when its launcher is gone, unless the session was handed over by then.

A program of its own, run by path with the interpreter of the session's environment, which knows nothing of clinder and
may be older than clinder's own. Its standard input is a pipe from the launcher, which writes JSON lines into it:

- `["offer", STATE_FILE, URL]`: the session is about to be recorded in this file;
- `["keep"]`: it is handed over, and no longer ends with the launcher.

Where the launcher is killed between the two, the file tells: a session that stands in it keeps running. That it does is
noted by making the file that the first argument names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

_ENDING_S = 5.0
"""How long the server may take to end after SIGTERM before it is killed; kernels notice that by themselves."""
_MAX_BYTES = 64 * 1024 * 1024


def main() -> None:
    """Serve until the server ends."""
    pipe = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    mark = sys.argv.pop(1)
    threading.Thread(target=_follow, args=(pipe, mark), name="launcher", daemon=True).start()
    # The server must not import what lies beside this file. What lies in its folder, the working copy, is not on the
    # path of a program that is run by path.
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
    # jupyter_server's event schemas bring jsonschema, and that a checker of IRIs, if it is there, whose import alone
    # takes longer than all else that a server does until it answers (measured: 1.9 of 2.4 s). No event has an IRI.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    from jupyter_server.serverapp import main as serve  # only now that the path is set

    serve()


def _follow(pipe: int, mark: str) -> None:
    """Hear the launcher out, then keep the session or end the server."""
    heard = b""
    while b'["keep"]\n' not in heard:
        data = os.read(pipe, 4096)
        if not data:
            break
        heard += data
    os.close(pipe)
    if b'["keep"]\n' in heard or _is_recorded(heard):
        Path(mark).touch()
        return
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ENDING_S)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _is_recorded(heard: bytes) -> bool:
    """Whether the session stands in the file that it was offered to."""
    try:
        _, path, url = json.loads(heard.splitlines()[-1])
        # Without waiting, in case that it is a pipe by now.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            return json.dumps(url).encode() in file.read(_MAX_BYTES)
    except (IndexError, OSError, ValueError):
        return False


if __name__ == "__main__":
    main()
