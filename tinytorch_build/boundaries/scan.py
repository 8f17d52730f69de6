"""A program of its own: writes the imports between the files of a package, as grimp reads them, as JSON.

    python scan.py FOLDER PACKAGE RESULT

It imports nothing of `tinytorch_build`, and nothing of the package: grimp only reads files. It is a process
of its own because grimp finds a package by the search path, and the one that runs the build has to keep its.
"""

from __future__ import annotations

import json
import os
import sys


def main(folder: str, package: str, result: str) -> None:
    """Write a list of `[importer, imported, line]`, all names in full.

    Args:
        folder: the folder that the package lies in.
        package: its import name.
        result: the file to write.
    """
    import grimp  # before `folder` is on the path, so that no file in it takes the place of a library

    sys.path.insert(0, folder)
    graph = grimp.build_graph(package, cache_dir=None)
    found = {
        (details["importer"], details["imported"], details["line_number"])
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        for details in graph.get_import_details(importer=importer, imported=imported)
    }
    with open(result, "w", encoding="utf-8") as file:
        json.dump(sorted(found), file)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
