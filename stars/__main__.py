"""`python -m stars` is `stars`."""

import sys

from stars.cli import main

sys.exit(main())
