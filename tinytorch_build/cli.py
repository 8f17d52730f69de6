"""`tito`: the build under the names that students know. It only translates; doit runs the tasks."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from tinytorch_build.errors import CourseError
from tinytorch_build.layout import MANIFEST, Layout
from tinytorch_build.manifest import load_manifest
from tinytorch_build.refusals import Refusal
from tinytorch_build.report.terminal import Lines
from tinytorch_build.session import at_work
from tinytorch_build.suggest import closest
from tinytorch_build.tasks import for_course

USAGE_ERROR = 3
"""Exit status where the command line or the manifest is wrong, as doit's own."""

TEST_KINDS = {
    "unit": "test",
    "integration": "integration",
    "system": "system",
    "validation": "validation",
}
"""What `tito test` calls each kind of test, and the tasks that run it."""

PACKAGE_ACTIONS = {
    "validate": "take every module from its source into the package, with all its checks and tests",
    "test": "run every test: of modules, between modules, of whole pipelines, of the package",
    "build": "make the wheel, if everything has passed",
    "verify": "install the wheel in a fresh environment and test it there, as students will meet it",
    "report": "do all of this, and write a page that shows what came of it: build/report/index.html",
}
"""What `tito package` can do, each with a sentence; the tasks bear the same names but for `test`."""

NOTEBOOK_ACTIONS = {
    "diff": "show what was edited in a notebook under build/notebooks",
    "accept": "write the edit into the module's source, cell by cell",
    "merge": "merge the edits of notebook and source, if both were edited",
    "discard": "put the notebook aside and make it anew from the source",
}
"""What `tito notebook` can do, each with a sentence."""

_INVALID_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")

_COMPARING = ("build", "verify", "report")
"""The actions that hold the package to the names of an earlier release."""

_PACKAGE_TESTS = ("validate", "system", "validation")

EXAMPLES = """\
examples:
  tito export NAME          export a module, check what came out, import it alone
  tito test NAME            run the tests of a module
  tito test integration     run the tests between modules
  tito package validate     take everything that is sound into the package
  tito package verify       make the wheel and try it in a fresh environment
  tito package report       all of this, and a page that shows it: build/report/index.html

What has not changed is not run again. If something fails, read the first message: it names
the file, the line and the cure. `tito COMMAND --help` tells more of a command. What tito exports,
tests and packages, it does by tasks of doit: `doit list` shows them.
"""


class _Parser(argparse.ArgumentParser):
    """argparse ends with status 2, which doit uses for a task that failed."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}{_hint(message)}\n")


def _hint(message: str) -> str:
    """What argparse's message about a wrong choice lacks: the choice that was probably meant."""
    found = _INVALID_CHOICE.search(message)
    near = closest(found[1], re.findall(r"[\w-]+", found[2])) if found else None
    return f"; did you mean '{near}'?" if near else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `tito`; the exit status is 0 if all passed, 3 for a wrong command or manifest, else another."""
    options = _parser().parse_args(arguments)
    try:
        root = course_root(Path(options.course) if options.course else Path.cwd())
        if options.command == "notebook":
            return _say(_handled(root, options), root)
        tasks = wanted_tasks(root, options)
    except CourseError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return USAGE_ERROR
    return run_doit(root, tasks, measure(getattr(options, "against", None)))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tito",
        description="Take your modules from source to a package that is known to work.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--course", metavar="FOLDER", help="the course's folder (default: the one you are in)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    export = commands.add_parser(
        "export", help="export modules, check them, and import each alone", description=export_sentence()
    )
    export.add_argument("module", nargs="*", metavar="NAME", help="modules to export")
    export.add_argument("--all", action="store_true", help="every module of the course")
    test = commands.add_parser(
        "test", help="test modules, or run every test of a kind", description=test_sentence()
    )
    test.add_argument(
        "what",
        nargs="+",
        metavar="NAME|unit|integration|system|validation",
        help="a module or a kind of test",
    )
    _add_package(commands)
    _add_notebook(commands)
    return parser


def _add_package(commands: argparse._SubParsersAction[_Parser]) -> None:
    """`tito package validate|test|build|verify|report`, each with what it does."""
    package = commands.add_parser(
        "package",
        help="validate, test, build, verify or report on the whole package",
        description="Work on the package as a whole. Each action does first what it rests on.",
    )
    actions = package.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    for action, sentence in PACKAGE_ACTIONS.items():
        said = f"{sentence[:1].upper()}{sentence[1:]}."
        parser = actions.add_parser(action, help=sentence, description=said)
        if action in _COMPARING:
            parser.add_argument(
                "--against",
                metavar="TAG_OR_WHEEL",
                help="the release whose names must still be there (default: the last version tag)",
            )


def _add_notebook(commands: argparse._SubParsersAction[_Parser]) -> None:
    """`tito notebook diff|accept|merge|discard NAME`, each with what it does."""
    notebook = commands.add_parser(
        "notebook",
        help="bring edits made in a notebook back into the source",
        description="Work with a notebook under build/notebooks that you have edited. "
        "The build never overwrites such a notebook: it stops, and you choose.",
    )
    actions = notebook.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    for action, sentence in NOTEBOOK_ACTIONS.items():
        said = f"{sentence[:1].upper()}{sentence[1:]}."
        actions.add_parser(action, help=sentence, description=said).add_argument("module", metavar="NAME")


def export_sentence() -> str:
    """What `tito export --help` says."""
    return (
        "Convert and export modules into build/staging, check what came out, and import each alone. "
        "What a module needs is validated first, since nothing can be said of it otherwise."
    )


def test_sentence() -> str:
    """What `tito test --help` says."""
    return "Run the inline cells and unit tests of modules, or every test of a kind."


def course_root(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds a manifest.

    Raises:
        CourseError: there is none.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / MANIFEST).is_file():
            return folder
    raise CourseError(f"no {MANIFEST} in {start} or above; go to the course's folder, or say --course FOLDER")


def wanted_tasks(root: Path, options: argparse.Namespace) -> list[str]:
    """The doit tasks that a command line asks for.

    Raises:
        CourseError: a name is unknown, or none is given.
    """
    modules = tuple(load_manifest(root / MANIFEST).by_name)
    if options.command == "export":
        if bool(options.module) == options.all:
            raise CourseError("tito export wants the names of modules, or --all")
        names = options.module or modules
        return [f"import-check:{_known(name, modules)}" for name in names]
    if options.command == "package":
        return [options.action] if options.action != "test" else list(_PACKAGE_TESTS)
    choices = (*modules, *TEST_KINDS)
    return [_test_task(_known(name, choices), modules) for name in options.what]


def handle_notebook(root: Path, action: str, name: str) -> str:
    """Do something with an edited notebook, unless a run is under way that may be reading it.

    Args:
        root: the course's root.
        action: one of `NOTEBOOK_ACTIONS`.
        name: a module.

    Returns:
        what to tell the user.

    Raises:
        CourseError: it cannot be done; the message says why.
    """
    from tinytorch_build.notebooks import commands  # which imports jupytext

    manifest = load_manifest(root / MANIFEST)
    module = manifest[_known(name, tuple(manifest.by_name))]
    layout = Layout.of(manifest)
    if action == "diff":
        return commands.show(layout, module) or f"the notebook of {name} holds no edit"
    act = {"accept": commands.accept, "merge": commands.merge, "discard": commands.discard}[action]
    with at_work(layout, f"tito notebook {action} {name}") as told:
        return "\n".join([*(str(problem) for problem in told), act(layout, module)])


def _say(text: str, root: Path) -> int:
    """Print a text; the exit status, which tells whether it could be printed."""
    lines = Lines(sys.stdout)
    try:
        lines.say(text)
    except KeyboardInterrupt:  # whoever read it has left
        return 1
    if lines.refused is not None:
        print(f"ERROR: standard output: {Refusal.of(lines.refused, root)}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def _handled(root: Path, options: argparse.Namespace) -> str:
    """`handle_notebook`, with what the system refuses told as a fault that the user can cure."""
    try:
        return handle_notebook(root, options.action, options.module)
    except OSError as error:
        raise CourseError(str(Refusal.of(error, root))) from error


def _test_task(name: str, modules: Sequence[str]) -> str:
    return f"test:{name}" if name in modules else TEST_KINDS[name]


def _known(name: str, choices: Sequence[str]) -> str:
    if name in choices:
        return name
    near = closest(name, choices)
    hint = f"; did you mean '{near}'?" if near else f"; there are {', '.join(choices)}"
    raise CourseError(f"'{name}' is no module of this course{hint}")


def measure(against: str | None) -> list[str]:
    """What doit is told of the release to compare with; a wheel goes by the folder that the user is in."""
    if not against:
        return []
    return [f"against={Path(against).absolute() if Path(against).is_file() else against}"]


def run_doit(root: Path, tasks: Sequence[str], variables: Sequence[str] = ()) -> int:
    """Run tasks as `doit TASK…` in the course's folder would, by its own `dodo.py` if it has one.

    Args:
        root: the course's root.
        tasks: names of doit tasks.
        variables: of the form `name=value`; the course's tasks know `against`.
    """
    dodo = root / "dodo.py"
    if dodo.is_file():
        return int(DoitMain().run(["run", f"--file={dodo}", *tasks, *variables]))
    said = dict(variable.split("=", 1) for variable in variables)
    config, task_course = for_course(str(dodo), against=said.get("against", ""))
    loader = ModuleTaskLoader({"DOIT_CONFIG": config, "task_course": task_course})
    return int(DoitMain(loader).run(["run", *tasks]))
