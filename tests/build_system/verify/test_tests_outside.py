"""What counts as a pass of the tests of an installed package: pytest's record, never its status alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinytorch_build.model import Manifest, Package
from tinytorch_build.plan import TestFile, TestKind
from tinytorch_build.programs import Programs
from tinytorch_build.verify.attempts import AttemptFailed, NotApplicable
from tinytorch_build.verify.environments import Environment
from tinytorch_build.verify.tests_outside import run_tests_outside

PASSES = "def test_one() -> None:\n    assert 1 + 1 == 2\n"


class ThisEnvironment(Environment):
    """The one that these tests run in: it has pytest."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)


def run(tmp_path: Path, **tests: str) -> str:
    """Run test files, given by name and text, as `doit verify` does."""
    root, work = tmp_path / "course", tmp_path / "work"
    work.mkdir()
    (root / "tests").mkdir(parents=True)
    (root / "geometry.py").write_text("")
    files = []
    for name, text in tests.items():
        path = root / f"tests/system/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if name.startswith("test_"):
            files.append(TestFile(f"tests/system/{name}.py", path.name, TestKind.SYSTEM, ()))
    (root / "tests/conftest.py").write_text("import os\n\nos.environ['SEEN'] = 'conftest'\n")
    manifest = Manifest(root, Package("course"), ())
    return run_tests_outside(manifest, files, ThisEnvironment(tmp_path), work, Programs())


def test_passes_are_counted(tmp_path: Path) -> None:
    uses_conftest = "import os\n\n\ndef test_two() -> None:\n    assert os.environ['SEEN'] == 'conftest'\n"
    assert run(tmp_path, test_a=PASSES, test_b=uses_conftest) == "2 tests passed in 2 files"


def test_the_course_is_not_on_the_path(tmp_path: Path) -> None:
    text = "import importlib.util\n\n\ndef test_it() -> None:\n    assert not importlib.util.find_spec('geometry')\n"
    assert run(tmp_path, test_a=text) == "1 tests passed in 1 files"


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        (
            PASSES + "\n\ndef test_wrong() -> None:\n    assert 1 + 1 == 3\n",
            "test_wrong fails with the installed package: assert (1 + 1) == 3",
            "tests/system/test_a.py:5",
        ),
        (
            "import nowhere\n",
            "fails with the installed package: collection failure",
            "tests/system/test_a.py",
        ),
        (
            "import os\n\n\ndef test_a() -> None:\n    os._exit(0)\n",
            "the run of the tests brought no record: it ended with status 0",
            "",
        ),
        (
            "import pytest\n\n\ndef test_a() -> None:\n    pytest.skip('not today')\n",
            "no test of tests/system/test_a.py passed",
            "tests/system/test_a.py",
        ),
        ("X = 1\n", "no test of tests/system/test_a.py was run", "tests/system/test_a.py"),
        (
            "import pytest\n\n\ndef test_a() -> None:\n    pytest.exit('enough', returncode=0)\n",
            "no test of tests/system/test_a.py was run",
            "tests/system/test_a.py",
        ),
    ],
    ids=["failure", "import", "os._exit", "skipped", "empty", "pytest.exit"],
)
def test_what_is_no_pass(tmp_path: Path, text: str, said: str, place: str) -> None:
    with pytest.raises(AttemptFailed) as failure:
        run(tmp_path, test_a=text)
    problem = failure.value.problems[0]
    assert said in problem.message
    assert problem.place.startswith(place)


def test_no_tests_are_no_pass(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable):
        run(tmp_path)
