"""Literate sources, read by a path of our own, so that what jupytext and nbdev lose in silence is noticed.

Neither jupytext nor nbdev takes part in the reading of `.py` files in percent format and of notebooks. For
the other text formats that jupytext knows, its own cells are taken: the weaker check, since what jupytext
loses there is lost on both sides.
"""

from tinytorch_build.literate.document import Cell, Directive, Document, UnreadableSource, unreadable
from tinytorch_build.literate.notebook_file import read_notebook
from tinytorch_build.literate.reading import (
    cells_by_jupytext,
    document_of,
    notebook_by_jupytext,
    read_document,
)
from tinytorch_build.literate.source_lines import SourceLines, export_statements, first_line
from tinytorch_build.literate.syntax import PROCESS_WIDE, compile_code, parse_code

__all__ = [
    "PROCESS_WIDE",
    "Cell",
    "Directive",
    "Document",
    "SourceLines",
    "UnreadableSource",
    "cells_by_jupytext",
    "compile_code",
    "document_of",
    "export_statements",
    "first_line",
    "notebook_by_jupytext",
    "parse_code",
    "read_document",
    "read_notebook",
    "unreadable",
]
