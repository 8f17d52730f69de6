"""Every layer, primitive and loss of the whole package is among those whose gradients are tested."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tinytorch
from tinytorch import KERNEL_GRADIENTS, PRIMITIVES, Layer, Primitive

GRADIENTS = Path(__file__).parents[1] / "integration" / "gradients"


def modules() -> Iterator[ModuleType]:
    """All modules of the package."""
    for found in pkgutil.walk_packages(tinytorch.__path__, "tinytorch."):
        yield importlib.import_module(found.name)


def names_of_cases() -> set[str]:
    """The names of all cases in the files of gradient tests."""
    names: set[str] = set()
    for path in sorted(GRADIENTS.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"gradients_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        names |= module.CASES.keys()
    return names


def layers() -> set[str]:
    """The names of all layers, also of those that a module does not export."""
    return {
        part.__name__
        for module in modules()
        for part in vars(module).values()
        if isinstance(part, type) and issubclass(part, Layer)
    }


def test_every_layer_is_tested() -> None:
    """A new layer fails here: add a case to a file in tests/integration/gradients."""
    bases = {"Layer", "_Pool2D"}  # which compute nothing by themselves
    assert layers() >= bases
    assert sorted(layers() - bases - names_of_cases()) == []


def test_every_primitive_belongs_to_a_module_whose_file_tests_all_its_primitives() -> None:
    """That is tensor or kernels; a new module with primitives of its own fails here until it has a file, too."""
    primitives = {
        part.name for module in modules() for part in vars(module).values() if isinstance(part, Primitive)
    }
    assert primitives == PRIMITIVES.keys() | KERNEL_GRADIENTS.keys()


@pytest.mark.parametrize("ending", ["Loss", "_loss", "Logits", "cross_entropy"])
def test_every_loss_is_tested(ending: str) -> None:
    losses = {
        name for module in modules() for name in getattr(module, "__all__", []) if name.endswith(ending)
    }
    assert losses
    assert sorted(losses - names_of_cases()) == []
