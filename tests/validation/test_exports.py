"""What the package offers: every name, once, documented, and defined where it says."""

import importlib.metadata
import inspect
import re
from types import FunctionType, ModuleType

import tinytorch

Modules = dict[str, ModuleType]


def exported(modules: Modules) -> dict[str, object]:
    return {name: getattr(module, name) for module in modules.values() for name in module.__all__}


def test_there_are_modules_and_each_exports_something(modules: Modules) -> None:
    assert modules
    assert [name for name, module in modules.items() if not module.__all__] == []


def test_a_star_import_gives_every_exported_name_of_every_module(modules: Modules) -> None:
    given: dict[str, object] = {}
    exec("from tinytorch import *", given)
    wanted = exported(modules)
    assert sorted(wanted.keys() - given.keys()) == []
    assert sorted(given.keys() - wanted.keys() - {"__builtins__"}) == []
    assert [name for name, value in wanted.items() if given[name] is not value] == []
    assert sorted(wanted.keys() - set(dir(tinytorch))) == []


def test_no_name_comes_from_two_modules(modules: Modules) -> None:
    homes: dict[str, list[str]] = {}
    for module_name, module in modules.items():
        for name in module.__all__:
            homes.setdefault(name, []).append(module_name)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_exported_names_are_public_and_defined_in_the_module_that_exports_them(modules: Modules) -> None:
    foreign = [
        f"{module_name}.{name}"
        for module_name, module in modules.items()
        for name in module.__all__
        if name.startswith("_")
        or (
            isinstance(value := getattr(module, name), (type, FunctionType))
            and value.__module__ != module_name
        )
    ]
    assert foreign == []


def test_every_public_class_function_and_method_has_a_docstring(modules: Modules) -> None:
    bare = []
    for name, value in exported(modules).items():
        if isinstance(value, (type, FunctionType)) and not documented(name, value):
            bare.append(name)
        if isinstance(value, type):
            bare += [
                f"{name}.{member}"
                for member in public_members(value)
                if not inspect.getdoc(getattr(value, member))
            ]
    assert bare == []


def documented(name: str, value: object) -> bool:
    """Whether there is a docstring, and one that a person wrote: dataclasses make `Name(field: type)`."""
    text = value.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{name}(")


def public_members(value: type) -> list[str]:
    """Methods and properties that a class defines itself and that are for its users."""
    kinds = (FunctionType, property, classmethod, staticmethod)
    return [
        name for name, member in vars(value).items() if not name.startswith("_") and isinstance(member, kinds)
    ]


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert re.fullmatch(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?", tinytorch.__version__)
    names = importlib.metadata.packages_distributions().get("tinytorch", [])
    installed = [importlib.metadata.version(name) for name in names if name == "tinytorch"]
    assert installed in ([], [tinytorch.__version__])
