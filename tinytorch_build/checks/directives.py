"""Checks of a source's directives: whether nbdev knows them, and reads them where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tinytorch_build.checks.source import SourceUnderCheck
from tinytorch_build.literate import Cell
from tinytorch_build.literate.document import EXPORTING
from tinytorch_build.literate.percent import comments
from tinytorch_build.model import Problem
from tinytorch_build.suggest import closest

_NBDEV = {*EXPORTING, "default_exp", "exportd", "eval", "exec_doc", "filter_stream", "hide", "hide_line"}
# fmt: off
_QUARTO = frozenset({
    "cap-location", "cache", "classes", "code-copy", "code-fold", "code-line-numbers",
    "code-overflow", "code-summary", "code-tools", "column", "echo", "error", "fig-align",
    "fig-alt", "fig-cap", "fig-cap-location", "fig-column", "fig-dpi", "fig-env", "fig-format",
    "fig-height", "fig-link", "fig-pos", "fig-responsive", "fig-scap", "fig-subcap", "fig-width",
    "id", "include", "label", "layout", "layout-align", "layout-ncol", "layout-nrow",
    "layout-valign", "lst-cap", "lst-label", "message", "output", "output-location", "panel",
    "renderings", "results", "slideshow", "tags", "tbl-cap", "tbl-cap-location", "tbl-colwidths",
    "tbl-column", "tbl-subcap", "title", "warning",
})
# fmt: on
KNOWN = frozenset(_NBDEV | _QUARTO)
"""What nbdev 3 and Quarto, which shows its pages, make something of."""

_DECIDING = frozenset({*EXPORTING, "default_exp", "exportd"})
"""The directives that decide what reaches the package."""

_WRITTEN = re.compile(r"#(?P<sign>[^\w\n]*)(?P<name>[A-Za-z_][\w-]*)(?P<rest>[^\n]*)$")
_DEFAULT_EXP = re.compile(r"^\s*#\s*\|?\s*default_exp\b", re.MULTILINE)
CURE_DEFAULT_EXP = "Please add #| default_exp directive to module"


def default_exp_names_the_target(source: SourceUnderCheck) -> list[Problem]:
    """One `#| default_exp`, read by nbdev, equal to the manifest's target."""
    if source.document is None:
        return []
    directives, target = source.document.default_exports, source.module.target
    wanted = (
        f"write `#| default_exp {target}`, or change target of [modules.{source.module.name}] in modules.toml"
    )
    if not directives:
        return [_no_default_exp(source)]
    first, *others = directives
    problems = [
        source.problem(
            "default-exp",
            f"`#| default_exp` stands here again, after line {first.line}; nbdev would take the last one",
            other.line,
            f"keep the one that names {target}",
        )
        for other in others
    ]
    if len(first.arguments.split()) != 1:
        message = f"`{first}` does not name one module"
        problems.append(source.problem("default-exp", message, first.line, wanted))
    elif first.arguments != target:
        message = (
            f"`{first}` is not the target that modules.toml gives {source.module.name}, which is {target}"
        )
        problems.append(source.problem("default-exp", message, first.line, wanted))
    return problems


def _no_default_exp(source: SourceUnderCheck) -> Problem:
    hidden = _DEFAULT_EXP.search(source.text)
    if hidden is None or not source.path.endswith(".py"):
        message = "no cell says with `#| default_exp` which file the module goes to"
        return source.problem("default-exp", message, cure=CURE_DEFAULT_EXP)
    line = source.text.count("\n", 0, hidden.end()) + 1
    message = "`#| default_exp` stands where nbdev does not read it"
    return source.problem("default-exp", message, line, "make it the first line of a code cell")


def some_cell_is_exported(source: SourceUnderCheck) -> list[Problem]:
    """At least one exported cell that holds code; else nbdev writes nothing, and an old file stays."""
    if any(parsed.tree is None or parsed.tree.body for parsed in source.exported):
        return []
    message = "no cell with code is exported"
    return [
        source.problem("no-export", message, cure="write `#| export` above the code that the package needs")
    ]


def directives_are_known(source: SourceUnderCheck) -> list[Problem]:
    """nbdev passes over a directive that it does not know without a word."""
    problems = []
    for cell in source.cells:
        for directive in cell.directives if cell.kind == "code" else ():
            if directive.name not in KNOWN:
                near = closest(directive.name.lower(), _NBDEV, 0.7) or closest(directive.name, KNOWN, 0.7)
                cure = f"did you mean `#| {near}`?" if near else "write it as an ordinary comment"
                message = f"nbdev knows no directive `#| {directive.name}`"
                problems.append(source.problem("unknown-directive", message, directive.line, cure))
            elif directive.name == "exportd":
                message = (
                    "the code of a cell with `#| exportd` is documentation to nbdev and reaches no module"
                )
                cure = "write `#| export`, or take the directive out"
                problems.append(source.problem("unknown-directive", message, directive.line, cure))
    return problems


def exports_have_no_argument(source: SourceUnderCheck) -> list[Problem]:
    """`#| export core.other` appends the cell to that file, again on every export."""
    return [
        source.problem(
            "export-argument",
            f"`{directive}` would put the cell into a file of another name, and again on every export",
            directive.line,
            f"write `#| {directive.name}` alone: a source makes one module",
        )
        for cell in source.cells
        for directive in cell.directives
        if cell.kind == "code" and directive.name in EXPORTING and directive.arguments
    ]


def directives_stand_on_top(source: SourceUnderCheck) -> list[Problem]:
    """A directive below other text of its cell, or written as in nbdev 1, is a comment to nbdev."""
    return [
        problem
        for cell in source.cells
        if cell.kind == "code"
        for problem in _unread_directives(source, cell)
    ]


def _unread_directives(source: SourceUnderCheck, cell: Cell) -> Iterator[Problem]:
    lines = cell.code.split("\n")
    first_code = next(
        (index for index, line in enumerate(lines) if line.strip() and line.lstrip()[0] != "#"), len(lines)
    )
    for offset, before, comment in comments(cell.code):
        line = cell.line + offset - 1
        found = _WRITTEN.match(comment)
        if before.strip() or found is None or found["name"] == "default_exp":
            continue
        name, sign, rest = found["name"], found["sign"], found["rest"].strip()
        if re.fullmatch(r"\s*\|\s*", sign):
            if name in KNOWN or closest(name, _DECIDING, 0.7):
                message = f"`#| {name}` stands below other text of its cell, where nbdev does not read it"
                yield source.problem(
                    "misplaced-directive", message, line, "make it the first line of the cell"
                )
        elif offset <= first_code and not rest and (meant := _meant(name, sign)):
            message = f"`{comment.strip()}` is an ordinary comment to nbdev"
            yield source.problem("misspelt-directive", message, line, f"did you mean `#| {meant}`?")


def _meant(name: str, sign: str) -> str | None:
    """The directive that a lone word in a comment is meant to be, or None for a word of prose."""
    if name.lower() in _DECIDING | {"hide"}:
        return name.lower()
    return closest(name.lower(), _DECIDING, 0.7) if not sign.startswith(" ") else None


def prose_has_no_directives(source: SourceUnderCheck) -> list[Problem]:
    """`#| export` in a markdown cell exports no code; nbdev would make a docstring of the prose."""
    return [
        source.problem(
            "markdown-directive",
            f"`#| {directive.name}` stands in a cell of prose, which brings no code into the module",
            directive.line,
            "make it a code cell with a plain `# %%`, or take the directive out",
        )
        for cell in source.cells
        if cell.kind != "code"
        for directive in cell.directives
        if directive.name in _DECIDING
    ]


DIRECTIVES = (
    default_exp_names_the_target,
    some_cell_is_exported,
    directives_are_known,
    exports_have_no_argument,
    directives_stand_on_top,
    prose_has_no_directives,
)
