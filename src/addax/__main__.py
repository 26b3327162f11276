"""``python -m addax``: the command line of `addax.launch`."""

import sys

from addax.launch import main

if __name__ == "__main__":
    sys.exit(main())
