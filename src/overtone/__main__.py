"""``python -m overtone``, where the command is not on the path."""

import sys

from overtone.cli.main import main

sys.exit(main())
