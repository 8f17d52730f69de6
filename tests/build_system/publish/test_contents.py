"""What goes into the package beside the modules, and what must not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build_system.publish.builders import entry
from tinytorch_build.errors import PublishError
from tinytorch_build.files import FileDigests, sha256
from tinytorch_build.model import Package, Problem
from tinytorch_build.publish import SUBPACKAGE_INIT, Entry, render_init
from tinytorch_build.publish.contents import PackageFile, assemble, included_files

TENSOR = entry("tensor", "x = 1", names=["Tensor"])
PACKAGE = Package("toy", include="extra")


def include(root: Path, *entries: Entry) -> tuple[dict[str, PackageFile], list[Problem]]:
    return included_files(root, PACKAGE, entries, FileDigests())


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / "extra" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "extra" / path).write_text(f"content of {path}")


def test_a_package_holds_modules_inits_and_the_typed_marker(tmp_path: Path) -> None:
    deep = entry("deep", "y = 1", target="nn.conv.deep")
    objects = {TENSOR.export: tmp_path / "t", deep.export: tmp_path / "d"}
    files = assemble(Package("toy"), {"tensor": TENSOR, "deep": deep}, {}, objects)
    init = render_init(
        "toy",
        "0.1.0",
        [("core.tensor", ["Tensor"]), ("nn.conv.deep", [])],
        {"tensor": "1.0.0", "deep": "1.0.0"},
    )
    assert files == {
        "__init__.py": PackageFile.generated(init),
        "core/__init__.py": PackageFile.generated(SUBPACKAGE_INIT),
        "core/tensor.py": PackageFile(TENSOR.export, tmp_path / "t"),
        "nn/__init__.py": PackageFile.generated(SUBPACKAGE_INIT),
        "nn/conv/__init__.py": PackageFile.generated(SUBPACKAGE_INIT),
        "nn/conv/deep.py": PackageFile(deep.export, tmp_path / "d"),
        "py.typed": PackageFile.generated(""),
    }


def test_included_files_are_taken_as_they_are_and_come_before_generated_ones(tmp_path: Path) -> None:
    write(tmp_path, "__init__.py", "data/words.txt", "core/helper.py", "__pycache__/x.pyc", "data/.DS_Store")
    included, problems = include(tmp_path, TENSOR)
    assert problems == []
    assert sorted(included) == ["__init__.py", "core/helper.py", "data/words.txt"]
    files = assemble(PACKAGE, {"tensor": TENSOR}, included, {TENSOR.export: tmp_path / "t"})
    assert files["__init__.py"].read() == b"content of __init__.py"
    assert files["core/__init__.py"].read() == SUBPACKAGE_INIT.encode()


def test_a_course_without_included_files(tmp_path: Path) -> None:
    assert included_files(tmp_path, Package("toy"), [], FileDigests()) == ({}, [])


def test_an_included_folder_that_is_not_there(tmp_path: Path) -> None:
    assert include(tmp_path)[1] == [
        Problem(
            "package-include",
            "The folder that the package includes does not exist",
            "extra",
            cure="make the folder, or take `include` out of [package] in modules.toml",
        )
    ]


@pytest.mark.parametrize(
    ("path", "message", "cure"),
    [
        (
            "core/tensor.py",
            "An included file takes the place of module tensor",
            "rename one of them: tensor is published as core/tensor.py",
        ),
        (
            "Core/Tensor.py",
            "An included file takes the place of module tensor",
            "rename one of them: tensor is published as core/tensor.py",
        ),
        (
            "core/tensor/__init__.py",
            "An included file takes the place of module tensor",
            "rename one of them: tensor is published as core/tensor.py",
        ),
        ("core", "An included file has the name of a folder of modules", "rename it"),
        ("modules.lock", "An included file has the name of the package's record", "rename it"),
    ],
)
def test_an_included_file_that_stands_in_the_way(tmp_path: Path, path: str, message: str, cure: str) -> None:
    write(tmp_path, path)
    assert include(tmp_path, TENSOR)[1] == [Problem("package-include", message, f"extra/{path}", cure=cure)]


def outside(folder: Path) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / "link").symlink_to("../secret")


def folder_link(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")


LINK = "A symbolic link in the included folder leads out of it, to a folder, or nowhere"


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make symbolic links")
@pytest.mark.parametrize(
    ("make", "message", "cure"),
    [
        (outside, LINK, "put the file itself there"),
        (folder_link, LINK, "put the file itself there"),
        (lambda folder: (folder / "link").symlink_to("nowhere"), LINK, "put the file itself there"),
        (
            lambda folder: os.mkfifo(folder / "link"),
            "Something that is no file lies in the included folder",
            "take it away",
        ),
    ],
    ids=["outside", "folder", "nowhere", "pipe"],
)
def test_what_cannot_be_included(
    tmp_path: Path, make: Callable[[Path], None], message: str, cure: str
) -> None:
    (tmp_path / "extra").mkdir()
    make(tmp_path / "extra")
    assert include(tmp_path)[1] == [Problem("package-include", message, "extra/link", cure=cure)]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not know such names")
def test_a_name_that_cannot_be_shown(tmp_path: Path) -> None:
    write(tmp_path, "a\x1fb.txt")
    message = "An included file has a name with characters that cannot be shown"
    assert include(tmp_path)[1] == [
        Problem("package-include", message, "extra/a\\x1fb.txt", cure="rename it")
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make symbolic links")
def test_a_link_inside_the_folder_is_taken_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path, "real.txt")
    (tmp_path / "extra" / "link.txt").symlink_to("real.txt")
    included, problems = include(tmp_path)
    assert problems == []
    assert included["link.txt"].read() == b"content of real.txt"


def test_a_file_that_changes_while_it_is_published_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("before")
    file = PackageFile(sha256(b"before"), path)
    path.write_text("after")
    with pytest.raises(PublishError) as caught:
        file.read()
    assert str(caught.value) == f"{path} changed while it was being published; run the task again"
