"""What is taken out of an archive, and what is refused."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from tinytorch_build.compatibility import archives
from tinytorch_build.compatibility.archives import UnusableArchive, unpack_package


def zipped(path: Path, *names: str, content: str = "x = 1\n") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def unpacked(archive: Path, folder: Path) -> list[str]:
    folder.mkdir()
    unpack_package(archive, "toy", folder)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_python_files_and_the_record_of_the_package_are_taken(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "a.whl",
        "toy/__init__.py",
        "toy/core/tensor.pyi",
        "toy/modules.lock",
        "toy/core/modules.lock",
        "toy/data.bin",
        "toy-1.0.dist-info/RECORD",
        "other/__init__.py",
    )
    assert unpacked(archive, tmp_path / "out") == [
        "toy/__init__.py",
        "toy/core/tensor.pyi",
        "toy/modules.lock",
    ]


@pytest.mark.parametrize(
    "name", ["../toy/a.py", "toy/../../a.py", "/toy/a.py", "toy\\..\\..\\a.py", "C:/toy/a.py"]
)
def test_a_file_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "a.whl", "toy/__init__.py", name)
    with pytest.raises(UnusableArchive, match="in it would lie outside of it"):
        unpacked(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("a.py"))


def test_links_are_left_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.whl", "toy/__init__.py")
    link = zipfile.ZipInfo("toy/link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    assert unpacked(archive, tmp_path / "out") == ["toy/__init__.py"]


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    archive = zipped(tmp_path / "a.whl", "toy/a.py", "toy/b.py", content="0" * 600)
    with pytest.raises(UnusableArchive, match="its files are larger than"):
        unpacked(archive, tmp_path / "out")
    monkeypatch.setattr(archives, "MOST_FILES", 1)
    with pytest.raises(UnusableArchive, match="holds more than 1 files"):
        unpack_package(archive, "toy", tmp_path)


def test_what_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.whl"
    text.write_text("no wheel")
    with pytest.raises(UnusableArchive, match="it is no sound zip file"):
        unpacked(text, tmp_path / "one")
    archive = zipped(tmp_path / "b.whl", "toy/a.py", content="x = 1\n" * 50)
    spoilt = bytearray(archive.read_bytes())
    spoilt[45] ^= 0xFF
    archive.write_bytes(spoilt)
    with pytest.raises(UnusableArchive, match="it is no sound zip file"):
        unpacked(archive, tmp_path / "two")
