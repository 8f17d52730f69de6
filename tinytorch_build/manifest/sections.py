"""Reads the tables of a manifest one by one: the form of each value, nothing about how they fit together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinytorch_build.manifest.findings import Findings, quoted, subject
from tinytorch_build.manifest.names import (
    Fault,
    constraint_fault,
    description_fault,
    license_fault,
    module_fault,
    name_fault,
    package_fault,
    requirement_fault,
    same_distribution,
    target_fault,
    version_fault,
)
from tinytorch_build.manifest.table import Item, Table
from tinytorch_build.manifest.toml_lines import KeyPath
from tinytorch_build.model import Limits, Package, TestFolders

_DAY = 86_400
_MOST_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Draft:
    """A module as its table declares it; what is missing or malformed is None or left out, and reported."""

    name: str
    path: KeyPath
    source: Item | None
    target: Item | None
    depends: tuple[Item, ...]
    version: str
    provides: tuple[Item, ...]
    tests: tuple[Item, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class CourseDraft:
    """A whole manifest, read but not yet checked against itself and the disk."""

    package: Package
    include: Item | None
    readme: Item | None
    license_files: tuple[Item, ...]
    folders: tuple[Item, ...]
    test_tools: tuple[str, ...]
    limits: Limits
    modules: tuple[Draft, ...]


def read_sections(document: dict[str, object], findings: Findings) -> CourseDraft:
    """Read every table; what is wrong with any goes into `findings`."""
    top = Table(document, (), findings)
    package, include, readme, license_files = _package(top)
    limits = _limits(top, Limits())
    folders, test_tools = _tests(top)
    modules = _modules(top, limits)
    top.finish()
    return CourseDraft(package, include, readme, license_files, folders, test_tools, limits, modules)


def _package(top: Table) -> tuple[Package, Item | None, Item | None, tuple[Item, ...]]:
    table = top.table("package", 'add [package] with a line such as name = "mycourse"')
    if table is None:
        return Package(""), None, None, ()
    name = table.text("name", "mycourse", required=True)
    version = table.text("version", "0.1.0")
    python = table.text("requires-python", ">=3.11")
    dependencies = table.texts("dependencies", "numpy>=1.26")
    include = table.text("include", "package_files")
    description = table.text("description", "What it is, in one line")
    readme = table.text("readme", "README.md")
    license_ = table.text("license", "MIT")
    license_files = table.texts("license-files", "LICENSE")
    table.finish()
    default = Package("")
    good_name = _sound(table, name, "bad-name", package_fault)
    for item in dependencies:
        _sound(table, item, "bad-requirement", requirement_fault)
        if good_name is not None and same_distribution(good_name, item.text):
            message = f"{subject(item.path)} holds {quoted(item.text)}, which is the package itself"
            table.findings.add("bad-requirement", item.path, message, "remove it, or rename the package")
    package = Package(
        good_name or "",
        _sound(table, version, "bad-version", version_fault) or default.version,
        _constraint(table, python, default.requires_python),
        tuple(item.text for item in dependencies),
        description=_sound(table, description, "bad-description", description_fault) or "",
        license=_sound(table, license_, "bad-license", license_fault) or "",
    )
    return package, include, readme, license_files


def _constraint(table: Table, item: Item | None, default: str) -> str:
    text = _sound(table, item, "bad-constraint", lambda text: constraint_fault(text, ">=3.11"))
    return default if text is None else text


def _limits(parent: Table, default: Limits) -> Limits:
    table = parent.table("limits")
    if table is None:
        return default
    limits = Limits(
        import_seconds=float(table.number("import-seconds", default.import_seconds, most=_DAY)),
        test_seconds=float(table.number("test-seconds", default.test_seconds, most=_DAY)),
        memory_mb=int(table.number("memory-mb", default.memory_mb, most=_MOST_MEMORY, whole=True)),
    )
    table.finish()
    return limits


def _tests(top: Table) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The folders, as declared or else the default and where it would stand; and the tools of the tests."""
    default = TestFolders()
    standard = (
        ("integration", default.integration),
        ("system", default.system),
        ("validation", default.validation),
    )
    table = top.table("tests") or Table({}, ("tests",), top.findings)
    folders = tuple(table.text(key, folder) or Item(("tests", key), folder) for key, folder in standard)
    tools = table.texts("requires", "pytest")
    table.finish()
    for item in tools:
        _sound(table, item, "bad-requirement", requirement_fault)
    return folders, tuple(item.text for item in tools) or default.requires


def _modules(top: Table, limits: Limits) -> tuple[Draft, ...]:
    why = "add a table such as [modules.NAME], with source and target, for each module"
    table = top.table("modules", why)
    if table is None:
        return ()
    if not table.names():
        top.findings.add("missing-key", ("modules",), "[modules] declares no module", why)
    drafts = []
    for name in table.names():
        fault = module_fault(name)
        if fault is not None:
            message = f"a module is called {quoted(name)}, {fault.reason}"
            top.findings.add("bad-name", ("modules", name), message, fault.cure)
        module = table.table(name)
        if module is None:
            # The name still counts as declared, so that what depends on it is not reported as well.
            module = Table({}, ("modules", name), top.findings)
            drafts.append(_module(name, module, limits))
        else:
            drafts.append(_module(name, module, limits))
            module.finish()
    return tuple(drafts)


def _module(name: str, table: Table, limits: Limits) -> Draft:
    source = table.text("source", "modules/source/01_NAME/NAME_dev.py", required=True)
    target = table.text("target", "core.NAME", required=True)
    depends = table.texts("depends", "NAME")
    version = table.text("version", "1.0.0")
    provides = table.texts("provides", "NAME")
    tests = table.texts("tests", "tests/unit/test_NAME.py")
    good_target = _sound(table, target, "bad-target", target_fault)
    for item in provides:
        _sound(table, item, "bad-name", name_fault)
    return Draft(
        name=name,
        path=table.path,
        source=source,
        target=target if good_target is not None else None,
        depends=depends,
        version=_sound(table, version, "bad-version", version_fault) or "0.1.0",
        provides=provides,
        tests=tests,
        limits=_limits(table, limits),
    )


def _sound(table: Table, item: Item | None, check: str, judge: Callable[[str], Fault | None]) -> str | None:
    """The item's text if nothing is wrong with it; else the fault is reported."""
    if item is None:
        return None
    fault = judge(item.text)
    if fault is None:
        return item.text
    verb = "holds" if isinstance(item.path[-1], int) else "is"
    message = f"{subject(item.path)} {verb} {quoted(item.text)}, {fault.reason}"
    table.findings.add(check, item.path, message, fault.cure)
    return None
