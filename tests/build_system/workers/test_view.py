"""The view: a worker imports what it may see, byte for byte, and learns why it may not see the rest."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from tinytorch_build.files import sha256
from tinytorch_build.workers import Failure, Job, StagedModule, View, Workers


def view_of(folder: Path, files: Mapping[str, str], init: str = "", **other: object) -> View:
    """A view of `pkg` with some modules, whose files are written."""
    staged = {}
    for dotted, text in files.items():
        path = folder / f"{dotted.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        staged[dotted] = StagedModule(str(path), sha256(text.encode()))
    undeclared = {"pkg.core.hidden": "hidden"}
    return View("pkg", staged, init, str(other.get("owner", "here")), undeclared)


def evaluate(code: str, expression: str) -> object:
    """Run some lines, then give an expression's value."""
    namespace: dict[str, object] = {}
    exec(code, namespace)
    return eval(expression, namespace)


def value(workers: Workers, view: View, code: str, expression: str) -> object:
    result = workers.run(Job(evaluate, (code, expression), view=view))
    assert result.failure is None, str(result.failure)
    return result.value


def failure(workers: Workers, view: View, code: str) -> Failure:
    result = workers.run(Job(exec, (code,), view=view))
    assert result.failure is not None
    return result.failure


def trace_of(dotted: str) -> str:
    """The traceback that the function `fail` of a module makes."""
    try:
        importlib.import_module(dotted).fail()
    except ValueError:
        return traceback.format_exc()
    return ""


def test_modules_come_from_their_staged_files(workers: Workers, tmp_path: Path) -> None:
    view = view_of(
        tmp_path, {"pkg.core.a": "x = 1", "pkg.core.b": "from .a import x\ny = x + 1"}, "name = 'p'"
    )
    code = "import pkg\nimport pkg.core.b as b"
    assert value(workers, view, code, "(pkg.name, b.y, b.__file__, b.__spec__.origin, pkg.__path__)") == (
        *("p", 2, str(tmp_path / "pkg/core/b.py"), str(tmp_path / "pkg/core/b.py")),
        [],
    )


def test_a_listed_module_may_be_a_package(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core": "z = 3", "pkg.core.a": "x = 1"})
    assert value(workers, view, "import pkg.core.a", "(pkg.core.z, pkg.core.a.x)") == (3, 1)


def test_the_published_package_is_invisible(workers: Workers, course_root: Path, tmp_path: Path) -> None:
    published = course_root / "pkg"
    published.mkdir(exist_ok=True)
    (published / "__init__.py").write_text("raise RuntimeError('the published package')")
    (published / "other.py").write_text("")
    view = view_of(tmp_path, {"pkg.core.a": "x = 1"})
    code = f"import sys; sys.path.insert(0, {str(course_root)!r})\nimport pkg.core.a\n"
    assert value(workers, view, code, "pkg.core.a.x") == 1
    found = failure(workers, view, code + "import pkg.other").detail
    assert found == (
        "raised ModuleNotFoundError: 'pkg.other' is no module of this course; see the targets in modules.toml"
    )


def test_an_undeclared_module_is_refused_with_the_cure(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core.a": "import pkg.core.hidden"}, owner="a")
    found = failure(workers, view, "import pkg.core.a")
    assert found.error is not None
    assert (found.error.type, found.error.name) == ("ModuleNotFoundError", "pkg.core.hidden")
    assert found.error.message == (
        "'pkg.core.hidden' is not among the modules that a declares; "
        'add "hidden" to depends of [modules.a] in modules.toml'
    )
    assert (found.frames[-1].file, found.frames[-1].line) == (str(tmp_path / "pkg/core/a.py"), 1)
    assert failure(workers, view, "from pkg.core import hidden").error == found.error


def test_a_test_file_is_told_to_import_by_name(tmp_path: Path) -> None:
    view = view_of(tmp_path, {}, owner="tests/integration/test_x.py")
    assert view.refusal("pkg.core.hidden") == (
        "'pkg.core.hidden' is not among the modules that tests/integration/test_x.py imports by name",
        "import it there with a plain import statement",
    )


def test_a_file_that_changed_is_not_run(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core.a": "x = 1"})
    (tmp_path / "pkg/core/a.py").write_text("x = 2")
    assert failure(workers, view, "import pkg.core.a").detail == (
        "raised ImportError: the file of 'pkg.core.a' changed during the run; run the command again"
    )


def test_a_file_that_is_gone_is_an_import_error(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core.a": "x = 1"})
    (tmp_path / "pkg/core/a.py").unlink()
    found = failure(workers, view, "import pkg.core.a").detail
    assert found.startswith("raised ImportError: 'pkg.core.a' cannot be read: [Errno 2] No such file")


def test_bytecode_is_neither_believed_nor_written(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core.a": "x = 1"})
    cache = Path(importlib.util.cache_from_source(tmp_path / "pkg/core/a.py"))
    cache.parent.mkdir()
    cache.write_bytes(b"garbage")
    assert value(workers, view, "import pkg.core.a", "pkg.core.a.x") == 1
    assert [path.read_bytes() for path in cache.parent.iterdir()] == [b"garbage"]


def test_source_folders_are_out_of_reach(workers: Workers, course_root: Path, tmp_path: Path) -> None:
    (course_root / "a_dev.py").write_text("")
    view = view_of(tmp_path, {"pkg.core.a": "x = 1"})
    found = failure(workers, view, "import a_dev").detail
    assert found == "raised ModuleNotFoundError: No module named 'a_dev'"


def test_tracebacks_show_source_lines(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core.a": "def fail():\n    raise ValueError('no')  # here"})
    result = workers.run(Job(trace_of, ("pkg.core.a",), view=view))
    assert "raise ValueError('no')  # here" in str(result.value)


def test_a_syntax_error_is_placed(workers: Workers, tmp_path: Path) -> None:
    view = view_of(tmp_path, {"pkg.core.a": "x = 1\ny = = 2"})
    last = failure(workers, view, "import pkg.core.a").frames[-1]
    assert (last.file, last.line, last.text) == (str(tmp_path / "pkg/core/a.py"), 2, "y = = 2")


@pytest.mark.parametrize(
    ("name", "inside"), [("pkg", True), ("pkg.core", True), ("pkgs", False), ("a.pkg", False)]
)
def test_which_names_the_view_owns(tmp_path: Path, name: str, inside: bool) -> None:
    assert view_of(tmp_path, {}).holds(name) is inside
