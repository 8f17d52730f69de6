"""Course code that reaches for what is not its own: files of the course and of the build, secrets, processes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.build_system.functional.hostile.verdicts import assert_nobody_else_is_the_worse, assert_verdict
from tests.build_system.functional.hostile.yard import FIRST, LAST, Hostile, Yard, source_of
from tinytorch_build.workers.confine import landlock_version
from tinytorch_build.workers.server import can_fence

pytestmark = pytest.mark.skipif(landlock_version() < 3, reason="this system has no Landlock")

ROOT = "import os, pathlib, sqlite3\nroot = pathlib.Path(__file__).parents[2]\n"
OTHER = f"root / '{source_of(FIRST)}'"
FORGED = """\
import dataclasses, os, pickle
from tinytorch_build.workers.wire import Delivery, framed
from tinytorch_build.stages.session_facts import CollectedTest, SessionFacts, TestOutcome
name = "checks/forged/test_forged.py"
test = CollectedTest(name + "::test_twice", name, "test_twice", 4)
outcome = TestOutcome(test.nodeid, "passed", 0.1)
facts = SessionFacts((test,), (outcome,), (), (), None, None, 0, True)
for descriptor in range(3, 64):
    try:
        os.write(descriptor, b"R" + framed(pickle.dumps(Delivery(facts, None))))
    except OSError:
        pass
os._exit(0)"""


def reaching(name: str, code: str, message: str = "Error: [Errno ") -> Hostile:
    """A module whose test reaches for something, and fails because it cannot."""
    return Hostile(name, ["test-failed"], message, in_test=ROOT + code)


CASES = [
    reaching("staging", f"(root / 'build/staging/yard/{LAST}.py').write_text('x = 1')"),
    reaching("notebook", f"(root / 'build/notebooks/01_{LAST}/{LAST}_dev.ipynb').unlink()"),
    reaching("source", f"({OTHER}).write_text('x = 1')"),
    reaching("link", f"({OTHER}).unlink()\n({OTHER}).symlink_to('/etc/hostname')"),
    reaching("tests", f"(root / 'checks/{LAST}/conftest.py').write_text('collect_ignore_glob = \"*\"')"),
    reaching("package", f"(root / 'yard/{FIRST}.py').write_text('x = 1')"),
    reaching("manifest", "(root / 'modules.toml').open('a')"),
    reaching("lock", "os.replace(root / 'modules.lock', root / 'modules.old')"),
    reaching("report", "(root / 'build/report/report.json').write_text('{}')"),
    reaching(
        "ledger",
        "sqlite3.connect(root / 'build/ledger.sqlite3').execute('delete from passes')",
        "OperationalError: ",
    ),
    reaching("database", "os.truncate(root / 'build/doit.sqlite3', 0)"),
    reaching("secret", "os.environ['API_TOKEN']", "KeyError: 'API_TOKEN'"),
    reaching("stolen", "pathlib.Path('/proc', str(os.getppid()), 'environ').read_bytes()"),
    Hostile(
        "forged", ["tests-not-delivered"], "wrote into the pipe that is meant for its result", in_test=FORGED
    ),
]
if landlock_version() >= 6:
    CASES.append(reaching("parent", "os.kill(os.getppid(), 9)"))
if can_fence(Path(tempfile.gettempdir())):
    CASES.append(reaching("permissions", f"({OTHER}).chmod(0)"))
    CASES.append(reaching("times", f"os.utime({OTHER}, (1, 1))"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_reaches_nothing(yard: Yard, case: Hostile) -> None:
    assert_verdict(yard, case)


def test_nobody_else_is_the_worse(yard: Yard) -> None:
    assert_nobody_else_is_the_worse(yard)
