"""Start clinder from the checkout that contains this file, whatever is installed and wherever it is started."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clinder.github_action.github import main  # needs the path above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
