"""``python -m overtone``, where the command is not on the path."""

import sys

from overtone.cli import main

sys.exit(main())
