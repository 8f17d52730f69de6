"""Every manifest is read or refused with problems that print well, and no path of it leads out of the course."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from hypothesis import given

from tests.build_system.any_input.manifests import manifests, put_course
from tests.build_system.any_input.profiles import CASES, bounded
from tests.build_system.any_input.surroundings import Surroundings
from tinytorch_build.errors import ManifestError
from tinytorch_build.layout import Layout
from tinytorch_build.manifest import load_manifest
from tinytorch_build.model import Manifest
from tinytorch_build.plan import Plan, make_plan
from tinytorch_build.test_files import find_test_files

LONGEST_FILE_NAME = 240
"""Bytes; file systems hold 255, and a temporary name is a little longer."""


def check_refusal(error: ManifestError, raw: bytes) -> None:
    lines = raw.count(b"\n") + raw.count(b"\r") + 1
    assert error.problems
    assert all(line.isprintable() for line in str(error).split("\n"))
    for problem in error.problems:
        assert problem.message
        assert problem.cure
        assert problem.line is None or 1 <= problem.line <= lines


def check_paths(manifest: Manifest, place: Surroundings) -> None:
    """Every path that the build will read or write lies in the course, links followed."""
    layout = Layout.of(manifest)
    package = manifest.package
    read = [manifest.root / path for module in manifest.modules for path in (module.source, *module.tests)]
    read += [
        manifest.root / path for path in (package.include, package.readme, *package.license_files) if path
    ]
    tests = manifest.tests
    read += [manifest.root / path for path in (tests.integration, tests.system, tests.validation)]
    written = [
        path
        for module in manifest.modules
        for path in (
            layout.notebook(module),
            layout.converted(module),
            layout.merging(module),
            layout.staged(module),
        )
    ]
    for path in (*read, *written, layout.published):
        assert path.resolve().is_relative_to(place.course.resolve())
    assert len(set(written)) == len(written)
    for path in written:
        assert all(
            len(os.fsencode(part)) <= LONGEST_FILE_NAME for part in path.relative_to(manifest.root).parts
        )
    for path in (*written, layout.published):
        assert not any(path.is_relative_to(source) or source.is_relative_to(path) for source in read)


def check_plan(plan: Plan, manifest: Manifest, place: Surroundings) -> None:
    seen: set[str] = set()
    for task in plan.tasks:
        assert task.name not in seen
        assert seen >= set(task.needs)
        seen.add(task.name)
        if task.test_file is not None:
            found = (manifest.root / task.test_file.path).resolve()
            assert found.is_relative_to(place.course.resolve())


def test_any_manifest_is_read_or_refused(tmp_path: Path) -> None:
    place = Surroundings.at(tmp_path)
    put_course(place)
    tally: Counter[str] = Counter()

    @CASES
    @given(manifests())
    def any_manifest(raw: bytes) -> None:
        path = place.course / "modules.toml"
        path.write_bytes(raw)
        before = place.inside()
        with bounded(), place.untouched():
            try:
                manifest = load_manifest(path)
                test_files = find_test_files(manifest)
            except ManifestError as error:
                tally["refused"] += 1
                check_refusal(error, raw)
            else:
                tally["read"] += 1
                check_paths(manifest, place)
                check_plan(make_plan(manifest, test_files), manifest, place)
        assert place.inside() == before

    with place.entered():
        any_manifest()
    print(dict(tally))
    assert min(tally["read"], tally["refused"]) > sum(tally.values()) / 10  # else one of the two is not tried
