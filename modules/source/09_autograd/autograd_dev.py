# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 09: Autograd
#
# Training means: change every weight a little, in the direction that makes the loss smaller. The
# direction is given by the *gradient*, the derivative of the loss with respect to each weight. A
# small network has ten thousand weights, a large one a hundred billion. Where do all these
# derivatives come from?
#
# Three ways to get a derivative:
#
# | way | cost for n weights | accuracy |
# |---|---|---|
# | by hand, on paper | your weekend, for each new network | exact, if you made no mistake |
# | nudge each weight and look at the loss | n + 1 runs of the network | about half the digits |
# | **reverse-mode automatic differentiation** | about 3 runs of the network, for *any* n | exact to rounding |
#
# The third is what this module builds. It does not manipulate formulas, and it does not approximate.
# It uses that every computation, however long, is a chain of about thirty primitives, that the
# derivative of each primitive fits into one line, and that the chain rule says how to put the lines
# together.
#
# In module 02 we left the door open: every operation passes `apply`, and a *recorder* may take notes.
# Now we write that recorder. Layers, losses, convolutions and attention become differentiable without
# a change to their code; they do not even know that this module exists.
#
# The idea is older than deep learning: S. Linnainmaa, master's thesis, University of Helsinki, 1970.
# A good survey is Baydin, Pearlmutter, Radul and Siskind, *Automatic Differentiation in Machine
# Learning: a Survey*, Journal of Machine Learning Research 18, 2018. The textbook is Griewank and
# Walther, *Evaluating Derivatives*, SIAM, 2nd ed. 2008.

# %%
#| default_exp core.autograd

# %%
#| export
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.tensor import Primitive, Tensor, set_recorder

# %% [markdown]
# ## 1. The chain rule, backwards
#
# Take $L = (a \cdot b + c)^2$ with $a = 2,\ b = 3,\ c = 1$. The computer does it in three steps:
#
#     p = a * b      6
#     q = p + c      7
#     L = q ** 2    49
#
# Write $\bar v$ for $\partial L / \partial v$: how much $L$ changes per change of $v$. Start at the
# end with $\bar L = 1$ and walk back:
#
#     q̄ = L̄ · 2q        = 14          because L = q²
#     p̄ = q̄ · 1         = 14          because q = p + c
#     c̄ = q̄ · 1         = 14
#     ā = p̄ · b         = 42          because p = a · b
#     b̄ = p̄ · a         = 28
#
# Each line needs three things only: the gradient that arrives from above, the *local* derivative of
# one primitive, and the values from the forward run. One walk back gives the derivatives with respect
# to **all** inputs. That is why the direction matters: a loss is one number and weights are many, so
# walking from the one to the many does the work once.
#
# If a value is used twice, both uses contribute, and the contributions **add up**. For
# $L = a \cdot a$ the two inputs of the product give $a$ each: $\bar a = 2a$. To overwrite instead of
# adding is the classical mistake in hand-written backpropagation.
#
# For arrays the local derivative is a Jacobian matrix $J_{ij} = \partial y_i / \partial x_j$, and the
# rule reads $\bar x = J^{T} \bar y$, the *vector-Jacobian product*. We never build $J$: for a product
# of two arrays of a million elements it would have $10^{12}$ entries, nearly all zero. Every
# primitive instead has a **rule** that computes $J^T \bar y$ directly, at about the cost of the
# primitive itself.

# %% [markdown]
# ## 2. What is recorded
#
# For every operation we keep a note: which primitive, which inputs, with what params, and what came
# out. The note goes into the `origin` slot of the output tensor. So the graph of the computation is
# no separate structure; it hangs on its results:
#
#     L.origin = Operation(power,    inputs (q, 2))
#     q.origin = Operation(add,      inputs (p, c))
#     p.origin = Operation(multiply, inputs (a, b))        a.origin is None: a is a *leaf*
#
# If `L` goes away, the notes go with it: nobody has to clear a global tape.
#
# Each note carries a **serial number**. Inputs exist before the output, so along every path backwards
# the numbers fall. To process the notes by falling number is therefore a correct order: when a note's
# turn comes, everyone who used its output has delivered already. And it needs no recursion: a chain
# of 10,000 operations would break Python's recursion limit.
#
# A note also carries the **versions** of its inputs. The rules read the inputs' values at the time of
# `backward`; should somebody have overwritten them since, the gradient would be wrong without any
# sign of it. We compare and refuse.


# %%
#| export
_Array = npt.NDArray[Any]
_serial_numbers = itertools.count()


class Operation:
    """The note about one recorded operation, as a gradient rule reads it.

    Attributes:
        primitive: What was computed.
        inputs: The tensors it was computed from; None once the graph was freed.
        output: The array of the result.
        params: The operation's params, such as `axis`.
        versions: The sum of the inputs' versions when they were used. As versions only grow, an equal sum
            means that none has changed.
        serial: Grows from operation to operation.
    """

    __slots__ = ("inputs", "output", "params", "primitive", "serial", "versions")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Tensor, ...],
        output: _Array,
        params: Mapping[str, Any],
        versions: int,
    ) -> None:
        self.primitive = primitive
        self.inputs: tuple[Tensor, ...] | None = inputs
        self.output: _Array | None = output
        self.params: Mapping[str, Any] = params
        self.versions = versions
        self.serial = next(_serial_numbers)

    @property
    def arrays(self) -> list[_Array]:
        """The arrays of the inputs."""
        return [tensor.data for tensor in self.recorded_inputs]

    @property
    def needs(self) -> list[bool]:
        """For each input, whether its gradient is of any use; a rule may return None for the others."""
        return [tensor.origin is not None or tensor.requires_grad for tensor in self.recorded_inputs]

    @property
    def result(self) -> _Array:
        """The array of the result."""
        if self.output is None:
            raise RuntimeError(_FREED)
        return self.output

    @property
    def recorded_inputs(self) -> tuple[Tensor, ...]:
        """The input tensors.

        Raises:
            RuntimeError: If the graph was freed.
        """
        if self.inputs is None:
            raise RuntimeError(_FREED)
        return self.inputs

    def free(self) -> None:
        """Let go of everything that was kept for the backward pass."""
        self.inputs = None
        self.output = None
        self.params = {}

    def __repr__(self) -> str:
        state = "freed" if self.inputs is None else f"{len(self.inputs)} inputs"
        return f"Operation({self.primitive.name}, {state}, serial={self.serial})"


_FREED = (
    "this part of the graph was already used by a backward pass and freed: compute the result again, or call "
    "the first backward(..., retain_graph=True)"
)
