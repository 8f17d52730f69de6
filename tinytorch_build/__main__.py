"""`python -m tinytorch_build` is `tito`."""

import sys

from tinytorch_build.cli import main

sys.exit(main())
