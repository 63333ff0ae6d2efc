#!/bin/sh
# Execute a notebook in a session with jupyter nbconvert. Needs `pip install nbconvert jupyter-server` on this machine;
# session_kernel.py, next to this file, connects to a kernel of the session.
#
#   clinder run -- sh nbconvert.sh notebook.ipynb
set -eu
export JUPYTER_GATEWAY_URL="$JUPYTER_BASE_URL" JUPYTER_GATEWAY_AUTH_TOKEN="$JUPYTER_TOKEN"
PYTHONPATH="$(dirname "$0")${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec jupyter nbconvert --to notebook --execute --inplace \
    --ExecutePreprocessor.kernel_manager_class=session_kernel.SessionKernelManager "$1"
