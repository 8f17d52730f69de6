"""From `modules.toml` to a sound `Manifest`, or everything that is wrong with it: read, check, assemble."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinytorch_build.errors import ManifestError
from tinytorch_build.layout import MANIFEST
from tinytorch_build.manifest.clashes import Placed, check_clashes, check_orphans, check_test_folders
from tinytorch_build.manifest.dependencies import read_dependencies
from tinytorch_build.manifest.document import Document, read_document
from tinytorch_build.manifest.findings import Findings
from tinytorch_build.manifest.paths import CoursePaths, Located
from tinytorch_build.manifest.sections import read_sections
from tinytorch_build.model import CourseModule, Dependency, Manifest, Problem, TestFolders

_BUILD = "build"


def load_manifest(path: Path) -> Manifest:
    """Read a course's manifest; its folder is the course's root.

    Raises:
        ManifestError: with all the problems of the manifest, in the order of the file.
    """
    manifest, problems = read_manifest(path)
    if manifest is None:
        raise ManifestError(problems)
    return manifest


def read_manifest(path: Path) -> tuple[Manifest | None, list[Problem]]:
    """A course's manifest and no problems, or None and all its problems, in the order of the file."""
    name = path.name if path.name.isprintable() and path.name else MANIFEST
    document = read_document(path, name)
    if isinstance(document, list):
        return None, document
    manifest, problems = _check(document, Path(os.path.realpath(path.absolute().parent)), name)
    return (None, problems) if problems else (manifest, [])


def _check(document: Document, root: Path, name: str) -> tuple[Manifest, list[Problem]]:
    findings = Findings(name, document.lines.lines)
    draft = read_sections(document.tables, findings)
    depends = read_dependencies(draft.modules, findings)
    paths = CoursePaths(root, (_BUILD, draft.package.name), findings)
    include = paths.folder(draft.include, required=True)
    readme = paths.file(draft.readme)
    license_files = [file for item in draft.license_files if (file := paths.file(item))]
    folders = [folder for item in draft.folders if (folder := paths.folder(item, required=False))]
    placed = [
        Placed(
            module,
            paths.file(module.source),
            tuple(test for item in module.tests if (test := paths.file(item))),
        )
        for module in draft.modules
    ]
    check_clashes(placed, findings)
    check_test_folders(folders, placed, findings)
    check_orphans(placed, folders, paths)
    problems = [*document.problems, *findings.in_order()]
    manifest = Manifest(
        root=root,
        package=replace(
            draft.package,
            include=include.path if include else None,
            readme=readme.path if readme else None,
            license_files=tuple(file.path for file in license_files),
        ),
        modules=tuple(_module(module, depends[module.draft.name], findings) for module in placed),
        tests=_tests(folders, draft.test_tools),
        limits=draft.limits,
    )
    return manifest, problems


def _tests(folders: Sequence[Located], tools: tuple[str, ...]) -> TestFolders:
    if len(folders) < 3:  # one was no folder, which has been reported
        return TestFolders(requires=tools)
    integration, system, validation = (folder.path for folder in folders)
    return TestFolders(integration, system, validation, tools)


def _module(placed: Placed, depends: tuple[Dependency, ...], findings: Findings) -> CourseModule:
    draft = placed.draft
    return CourseModule(
        name=draft.name,
        source=placed.source.path if placed.source else "",
        target=draft.target.text if draft.target else "",
        depends=depends,
        version=draft.version,
        provides=tuple(item.text for item in draft.provides),
        tests=tuple(test.path for test in placed.tests),
        limits=draft.limits,
        line=findings.line(draft.path),
    )
