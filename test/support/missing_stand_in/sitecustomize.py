"""Makes the modules named in MISSING_MODULES impossible to import, in child processes too."""

import os
import sys

for name in os.environ["MISSING_MODULES"].split():
    # Python's way to say: not there.
    sys.modules[name] = None
