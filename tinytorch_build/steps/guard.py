"""Where the system lets a worker write what it likes: seeing what it has changed while it ran.

On Linux with Landlock and mount namespaces a worker can change nothing but its own files, and none of this is
needed. Elsewhere the files of the course are compared before and after each step that runs course code. Of
two steps that run at once both fail, and so does one during which somebody saves a file: nothing tells who it
was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.files import files_below, sha256, write_atomically
from tinytorch_build.model import Problem
from tinytorch_build.publish.rescue import CHECK as EDITED
from tinytorch_build.session import Session

CHECK = "course-changed"
CURE = "take out what writes there; if it was you, run the command again"


@dataclass(frozen=True, slots=True)
class Watched:
    """The course's own files, before a step that runs course code.

    Attributes:
        files: content and permissions, by path from the course's root.
        exports: what the staged files hold that this run is through with, by module.
    """

    files: dict[str, str]
    exports: dict[str, bytes]


def watched(session: Session) -> Watched | None:
    """The files as they are now; None where a worker cannot change any."""
    if session.workers.shut_in():
        return None
    staged = {name: session.layout.staged(session.manifest[name]) for name in session.exported_modules()}
    exports = {name: path.read_bytes() for name, path in staged.items() if path.is_file()}
    return Watched(_files(session), exports)


def changes(session: Session, before: Watched, task: str) -> Iterator[Problem]:
    """What is not as it was; the published package and staging are put right at once.

    Args:
        session: the run.
        before: the files before the step.
        task: the step's name, for the message.
    """
    now = _files(session)
    names = [name for name in before.files.keys() | now.keys() if before.files.get(name) != now.get(name)]
    for module, content in before.exports.items():
        path = session.layout.staged(session.manifest[module])
        if session.digests.of(path) != sha256(content):
            names.append(session.relative(path))
            write_atomically(path, content)
    for name in sorted(names):
        yield Problem(CHECK, f"{name} changed while {task} ran", name, cure=CURE)
    for problem in session.publisher.settle().problems:
        if problem.check == EDITED:
            yield Problem(CHECK, f"{problem.message} (while {task} ran)", problem.file, cure=CURE)


def _files(session: Session) -> dict[str, str]:
    root, layout = session.layout.root, session.layout
    tests = {path for module in session.manifest.modules for path in module.tests}
    tests |= {task.test_file.path for task in session.plan.tasks if task.test_file is not None}
    paths = {layout.manifest, root / "dodo.py"}
    paths |= {layout.source(module) for module in session.manifest.modules}
    for folder in {(root / path).parent for path in tests}:
        paths |= {path for path in files_below(folder) if path.is_file() and "__pycache__" not in path.parts}
        paths |= {above / "conftest.py" for above in (folder, *folder.parents) if above.is_relative_to(root)}
    return {session.relative(path): _state(session, path) for path in paths if path.exists()}


def _state(session: Session, path: Path) -> str:
    link = f"link to {path.readlink()} " if path.is_symlink() else ""
    try:
        digest = session.digests.of(path)
    except PermissionError:
        digest = "not to be read"
    return f"{link}{digest} {path.stat().st_mode:o}"
