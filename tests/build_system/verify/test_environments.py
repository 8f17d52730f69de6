"""Fresh environments, and what is said where they cannot be made or filled."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tinytorch_build.programs import Finished, Programs
from tinytorch_build.verify import environments
from tinytorch_build.verify.attempts import AttemptFailed
from tinytorch_build.verify.environments import Environment, Installer, Pip, Uv, installer_for

UV = shutil.which("uv", path=str(Path(sys.executable).parent))


def installers() -> list[Installer]:
    found: list[Installer] = [Pip(Programs())]
    return [*found, Uv(Programs(), Path(UV))] if UV else found


@contextmanager
def only_index(monkeypatch: pytest.MonkeyPatch, *, answers_calls: bool) -> Iterator[None]:
    """The only index is one where nobody listens, or one that takes calls and then says nothing."""
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        if answers_calls:
            taker.listen()
        use_index(monkeypatch, taker.getsockname()[1])
        yield


def use_index(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Let installers ask this port of this machine, and nothing else."""
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}/simple")
    for name in ("FIND_LINKS", "EXTRA_INDEX_URL", "NO_INDEX", "INDEX"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
        monkeypatch.delenv(f"UV_{name}", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")  # it waits longer each time


@pytest.mark.parametrize("installer", installers(), ids=lambda installer: installer.name)
def test_without_a_network_it_says_so_and_ends(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_ANSWER_SECONDS", 1)
    environment = installer.create(tmp_path / "an environment")
    for answers_calls in (False, True):
        with (
            only_index(monkeypatch, answers_calls=answers_calls),
            pytest.raises(AttemptFailed) as failure,
        ):
            installer.install(environment, ["distribution-that-is-nowhere"], tmp_path)
        (problem,) = failure.value.problems
        assert problem.check == "no-network"
        assert problem.message == (
            f"distribution-that-is-nowhere could not be installed: {installer.name} reached no package index"
        )
        assert "run `doit verify` again where there is a network" in problem.cure


@pytest.mark.parametrize("installer", installers(), ids=lambda installer: installer.name)
def test_a_wheel_that_cannot_be_installed(installer: Installer, tmp_path: Path) -> None:
    wheel = tmp_path / "geometry-1.0-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    environment = installer.create(tmp_path / "environment")
    with pytest.raises(AttemptFailed) as failure:
        installer.install(environment, [wheel], tmp_path)
    assert failure.value.problems[0].check == "not-installable"
    assert failure.value.problems[0].message.startswith(f"{wheel.name} could not be installed: ")


def test_an_installation_without_end_is_ended_and_not_blamed_on_the_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "INSTALL_SECONDS", 1.0)
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nexec sleep 600\n")
    uv.chmod(0o755)
    with pytest.raises(AttemptFailed) as failure:
        Uv(Programs(), uv).install(Environment(tmp_path), ["numpy>=1.26"], tmp_path)
    (problem,) = failure.value.problems
    assert problem.message == "numpy>=1.26 could not be installed: uv did not end within 1 s"
    assert "dependencies" not in problem.cure


class Refusing(BaseHTTPRequestHandler):
    """An index that is out of order."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.skipif(UV is None, reason="pip does not tell what an index answers")
def test_an_index_that_does_not_serve_is_no_lack_of_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        use_index(monkeypatch, index.server_port)
        assert UV is not None
        installer = Uv(Programs(), Path(UV))
        environment = installer.create(tmp_path / "environment")
        with pytest.raises(AttemptFailed) as failure:
            installer.install(environment, ["distribution-that-is-nowhere"], tmp_path)
        index.shutdown()
    (problem,) = failure.value.problems
    assert problem.check == "refused-by-index"
    assert problem.message == (
        "distribution-that-is-nowhere could not be installed: "
        "the package index answered 503 Service Unavailable"
    )


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "environment").write_text("")
    with pytest.raises(AttemptFailed, match="pip made no virtual environment"):
        Pip(Programs()).create(tmp_path / "environment")


def test_uv_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installer_for(Programs()).name == "pip"
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    assert installer_for(Programs()).name == "uv"


UV_SAYS = """\
error: No solution found when resolving dependencies
  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.99, it cannot be used.
         And because you require it, your requirements are unsatisfiable.
"""
OLDER_UV_SAYS = """\
  x No solution found when resolving dependencies:
  ╰─▶ Because numpi was not found in the package registry, your requirements are unsatisfiable.
"""
PIP_SAYS = """\
ERROR: Could not find a version that satisfies the requirement numpi (from versions: none)
[notice] A new release of pip is available
"""


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (
            UV_SAYS,
            "Because the current Python version (3.11.7) does not satisfy Python>=3.99, it cannot be used.",
        ),
        (
            OLDER_UV_SAYS,
            "Because numpi was not found in the package registry, your requirements are unsatisfiable.",
        ),
        (
            PIP_SAYS,
            "ERROR: Could not find a version that satisfies the requirement numpi (from versions: none)",
        ),
    ],
    ids=["uv", "older uv", "pip"],
)
def test_the_reason_that_an_installer_gives_is_passed_on(tmp_path: Path, output: str, why: str) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ncat <<'END'\n{output}END\nexit 1\n", encoding="utf-8")
    uv.chmod(0o755)
    with pytest.raises(AttemptFailed) as failure:
        Uv(Programs(), uv).install(Environment(tmp_path), ["numpi"], tmp_path)
    assert failure.value.problems[0].message == f"numpi could not be installed: {why}"


def test_how_a_program_ended() -> None:
    assert Finished(0, "").how == "it ended with status 0"
    assert Finished(-9, "").how == "it was ended by signal 9"
    assert Finished(None, "").how == "it did not end in time"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.parametrize("fails", ["venv", "pip"])
def test_a_full_disk_is_no_fault_of_what_is_installed(tmp_path: Path, fails: str) -> None:
    uv = tmp_path / "uv"
    said = "cause: failed to copy file: No space left on device (os error 28)"
    uv.write_text(
        f'#!/bin/sh\n[ "$1" = {fails} ] && {{ echo "{said}" >&2; exit 2; }}\nexit 0\n', encoding="utf-8"
    )
    uv.chmod(0o755)
    installer = Uv(Programs(), uv)
    with pytest.raises(AttemptFailed) as failure:
        installer.install(installer.create(tmp_path / "environment"), ["numpy"], tmp_path)
    (problem,) = failure.value.problems
    what = {"venv": "uv made no virtual environment", "pip": "numpy could not be installed"}[fails]
    assert problem.message == f"{what}: No space left on device"
    assert problem.cure.startswith("make room in ")
    assert said in failure.value.output
