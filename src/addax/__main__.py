"""``python -m addax``"""

import sys

from addax.launch import main

sys.exit(main())
