"""Execute code in a session from Python. Needs `pip install jupyter-kernel-client`.

Usage: clinder run -- python kernel_client.py 'print(6 * 7)'
"""

from __future__ import annotations

import os
import sys

from jupyter_kernel_client import JupyterKernelClient

with JupyterKernelClient(server_url=os.environ["JUPYTER_BASE_URL"], token=os.environ["JUPYTER_TOKEN"]) as kernel:
    reply = kernel.execute(sys.argv[1])
    for output in reply["outputs"]:
        sys.stdout.write(output.get("text", ""))
    sys.exit(reply["status"] != "ok")
