"""Export: the exported cells of a notebook become a module, by nbdev's own code, in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinytorch_build.literate import PROCESS_WIDE


class NothingExported(Exception):
    """nbdev wrote no module for this notebook, which it says with no word and status 0."""


def export_text(notebook: str, *, package: str, target: str, source: str) -> str:
    """The text of the module that nbdev makes of a notebook.

    nbdev's command line is never used: it rewrites project files, and one broken notebook stops all
    others. Here its `ExportModuleProc` and `ModuleMaker` work on the notebook in memory; what they would
    take from the current folder (header, path of the notebook) is pinned, and markdown cells are dropped
    because nbdev lets quotations in them leak into the module's docstring.

    Args:
        notebook: JSON text of the notebook.
        package: name of the package, which in-package imports are made relative to.
        target: dotted name of the module in the package, such as `core.tensor`.
        source: POSIX path of the literate source, for the header.

    Raises:
        NothingExported: no cell of the notebook is exported, or nothing says where to.
    """
    cells = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    with PROCESS_WIDE, tempfile.TemporaryDirectory(prefix="export-") as folder:
        written = _make_module(cells, Path(folder) / package, target, source)
        if written is None:
            raise NothingExported(source)
        return written.read_text(encoding="utf-8")


def _make_module(cells: Sequence[Mapping[str, Any]], library: Path, target: str, source: str) -> Path | None:
    from fastcore.nbio import dict2nb
    from nbdev.export import ExportModuleProc
    from nbdev.maker import ModuleMaker
    from nbdev.process import NBProcessor

    exporter = ExportModuleProc()
    notebook = dict2nb({"cells": [dict(cell) for cell in cells], "metadata": {}, "nbformat": 4})
    NBProcessor(nb=notebook, procs=[exporter]).process()
    exported = exporter.modules["#"]
    if not exported or getattr(exporter, "default_exp", None) is None:
        return None
    maker = ModuleMaker(dest=library, name=target, nb_path=library / "notebook.ipynb", is_new=True)
    maker.nb_path = None  # else a documentation address in some pyproject.toml would get into the docstring
    maker.dest2nb = source
    maker.hdr = "# %%"
    maker.make(exported, exporter.in_all["#"], lib_path=library)
    return Path(maker.fname)
