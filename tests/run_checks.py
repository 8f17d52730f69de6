"""Every check of this repository, in one command: the same here and in CI. Ends at the first that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))

CHECKS = {
    "ruff format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "ruff check": [sys.executable, "-m", "ruff", "check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
    "import-linter": [str(SCRIPTS / "lint-imports")],
    "doit": [sys.executable, "-m", "doit", "validate", "system", "validation"],
    # The tests of the course have just run, in workers; what is left are those of the build, and the reference.
    "pytest": [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--numprocesses=auto",
        "--dist=loadfile",  # the tests of a file share what is costly to make
        "--no-loadscope-reorder",
        "--durations=25",
        "tests/build_system",
        "tests/reference",
    ],
}


def main() -> int:
    """Run the checks in their order; the exit status is that of the first that fails, or 0.

    Here the comparison with PyTorch must run: without PyTorch, its tests fail instead of being skipped.
    """
    environment = {**os.environ, "REQUIRE_PYTORCH": "1"}
    for name, command in CHECKS.items():
        began = time.perf_counter()
        print(f"== {name}", flush=True)
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if status:
            print(f"== {name} failed with status {status}", file=sys.stderr)
            return status
        print(f"== {name} passed in {time.perf_counter() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
