"""Dependency graphs for tests: that of a course of sixteen modules, and any at all."""

from __future__ import annotations

from hypothesis import strategies as st

COURSE: dict[str, list[str]] = {
    "setup": [],
    "tensor": [],
    "activations": ["tensor"],
    "layers": ["tensor"],
    "dense": ["tensor", "layers"],
    "spatial": ["tensor", "layers"],
    "attention": ["tensor", "layers"],
    "dataloader": ["tensor"],
    "autograd": ["tensor"],
    "optimizers": ["tensor", "autograd"],
    "training": ["tensor", "layers", "optimizers", "dataloader"],
    "compression": ["tensor", "layers"],
    "kernels": ["tensor"],
}
for _name in ("benchmarking", "mlops", "capstone"):
    COURSE[_name] = list(COURSE)


@st.composite
def graphs(draw: st.DrawFn, largest: int = 24) -> dict[str, list[str]]:
    """Modules in course order, each with some of those above it."""
    found: dict[str, list[str]] = {}
    for index in range(draw(st.integers(1, largest))):
        above = st.lists(st.sampled_from(sorted(found)), unique=True, max_size=5) if found else st.just([])
        found[f"m{index:02}"] = draw(above)
    return found
