"""Unit tests of autograd: every rule against central differences, the walk, and its refusals."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tinytorch.core import autograd
from tinytorch.core.autograd import (
    backward,
    check_gradients,
    grad,
    no_grad,
    numerical_gradient,
    register_gradient,
)
from tinytorch.core.tensor import PRIMITIVES, Primitive, Tensor, apply, concatenate, stack, where, zeros

TOLERANCE = 1e-6
deterministic = settings(derandomize=True, max_examples=15, deadline=None)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)
broadcastable = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)
seeds = st.integers(0, 999)


def values(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return float64 values of different magnitude, none of them near 0: no corner of a function is near."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    magnitudes = rng.permutation(np.arange(1, size + 1)) * (1.5 / max(size, 1))
    return Tensor((magnitudes * rng.choice([-1.0, 1.0], size)).reshape(shape))


def positive(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).uniform(0.5, 2.0, shape))


def leaf(data: Any) -> Tensor:
    return Tensor(np.asarray(data, np.float64), requires_grad=True)


def gradient_of(tensor: Tensor) -> Any:
    assert tensor.grad is not None
    return tensor.grad.tolist()


# Every rule against central differences

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "maximum": lambda a, b: a.maximum(b),
    "minimum": lambda a, b: a.minimum(b),
    "where": lambda a, b: where(a > b, a, b * 2.0),
}


@pytest.mark.parametrize("name", BINARY)
@deterministic
@given(pair=broadcastable, seed=seeds)
def test_binary_rules(name: str, pair: Any, seed: int) -> None:
    first, second = pair.input_shapes
    a = positive(first, seed)
    b = Tensor(positive(second, seed + 1).data + 0.01)
    difference = np.abs(a.data - b.data)
    if name in ("maximum", "minimum", "where") and difference.size and difference.min() < 1e-4:
        b = Tensor(b.data + 3.0)
    assert check_gradients(BINARY[name], [a, b], TOLERANCE) < TOLERANCE


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": lambda x: -x,
    "exp": lambda x: x.exp(),
    "log": lambda x: (x * x).log(),
    "sqrt": lambda x: (x * x).sqrt(),
    "tanh": lambda x: x.tanh(),
    "erf": lambda x: x.erf(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "absolute": lambda x: abs(x),
    "clip": lambda x: x.clip(-0.5003, 0.5003),
    "clip low": lambda x: x.clip(low=-0.5003),
    "clip high": lambda x: x.clip(high=0.5003),
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "inverse": lambda x: x**-1.0,
    "exponential": lambda x: 2.0**x,
    "flipped division": lambda x: 1.0 / x,
    "relu": lambda x: x.maximum(0.0),
    "astype": lambda x: x.astype(np.float64) * x,
    "mean": lambda x: x.mean(),
    "variance": lambda x: (x - 3.0).var(),
    "flatten": lambda x: x.flatten() * 2.0,
    "expand": lambda x: x.expand_dims(0) * x,
    "reversed": lambda x: x.T * 2.0,
}


@pytest.mark.parametrize("name", UNARY)
@deterministic
@given(shape=shapes, seed=seeds)
def test_unary_rules(name: str, shape: tuple[int, ...], seed: int) -> None:
    assert check_gradients(UNARY[name], [values(shape, seed)], TOLERANCE) < TOLERANCE


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
@deterministic
@given(data=st.data(), shape=shapes, keepdims=st.booleans(), seed=seeds)
def test_reduction_rules(name: str, data: Any, shape: tuple[int, ...], keepdims: bool, seed: int) -> None:
    axis: Any = None
    if shape:
        axes = data.draw(st.lists(st.integers(-len(shape), -1), unique=True, max_size=len(shape)))
        axis = tuple(axes) or None
    reduced: Callable[[Tensor], Tensor] = lambda x: getattr(x, name)(axis=axis, keepdims=keepdims)  # noqa: E731
    assert check_gradients(reduced, [values(shape, seed)], TOLERANCE) < TOLERANCE


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((2, 2, 3), (3, 4)),
        ((2, 2, 3), (3,)),
        ((3,), (2, 3, 2)),
        ((2, 2, 3), (2, 3, 2)),
        ((2, 1, 2, 3), (2, 3, 2)),
        ((2, 3), (2, 3, 2)),
        ((1, 2, 3), (2, 3, 2)),
        ((2, 2, 2, 3), (3, 2)),
        ((0, 2, 3), (3, 2)),
        ((2, 0), (0, 3)),
    ],
)
def test_matmul_rule(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = values(left), values(right, 1)
    assert check_gradients(lambda a, b: a @ b, [a, b], TOLERANCE) < TOLERANCE
    assert check_gradients(lambda a: a @ b, [a], TOLERANCE) < TOLERANCE
    assert check_gradients(lambda b: a @ b, [b], TOLERANCE) < TOLERANCE


def test_matmul_rule_of_a_transposed_batch() -> None:
    def function(a: Tensor, b: Tensor) -> Tensor:
        return a.transpose(1, 2, 0) @ b

    assert check_gradients(function, [values((4, 2, 3)), values((4, 2), 1)], TOLERANCE) < TOLERANCE


@deterministic
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
def test_basic_indexing_rule(data: Any, shape: tuple[int, ...]) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    assert check_gradients(lambda x: x[index] * 2.0, [values(shape)], TOLERANCE) < TOLERANCE


@pytest.mark.parametrize(
    "index",
    [
        np.array([3, 0, 3]),
        [3, 0, 3],
        np.array([[0, 1], [1, -1]]),
        (np.array([0, 0, 1]), np.array([2, 2, 1])),
        (slice(None), np.array([1, 1])),
        (np.array([1, 1]), None, slice(1, 3)),
        (np.array([True, False, True, True]), np.array([1, 1, 0])),
        np.array([True, False, True, True]),
        Tensor([1, 1, 2]),
        (Tensor([1, 1, 2]), 2),
    ],
    ids=str,
)
def test_integer_and_mask_indexing_rules(index: Any) -> None:
    assert check_gradients(lambda x: x[index] * x[index], [values((4, 3))], TOLERANCE) < TOLERANCE


def test_a_mask_of_the_whole_tensor() -> None:
    x = values((3, 4))
    assert check_gradients(lambda t: t[x > 0.0], [x], TOLERANCE) < TOLERANCE


@deterministic
@given(
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    kernel=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.just(1)),
)
def test_windows_rule(size: Any, kernel: Any, stride: Any, dilation: Any) -> None:
    def function(x: Tensor) -> Tensor:
        return x.windows(kernel, stride, dilation)

    assert check_gradients(function, [values((1, 2, *size))], TOLERANCE) < TOLERANCE


MOVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "transpose": lambda a, b: a.transpose(2, 0, 1) * b.transpose(2, 0, 1),
    "swapaxes": lambda a, b: a.swapaxes(0, 2) * 2.0,
    "reshape": lambda a, b: a.reshape(4, 6) * b.reshape(4, 6),
    "squeeze": lambda a, b: a.expand_dims(1).squeeze(1) * b,
    "broadcast_to": lambda a, b: a.expand_dims(2).broadcast_to(5, 2, 3, 2, 4),
    "pad": lambda a, b: a.pad([(1, 0), (0, 2), (1, 1)], value=3.0),
    "concatenate": lambda a, b: concatenate([a, b[:1], a], axis=0),
    "concatenate last": lambda a, b: concatenate([a, b[..., :1]], axis=-1),
    "stack": lambda a, b: stack([a, b, a], axis=1),
    "stack last": lambda a, b: stack([a, b], axis=-1),
    "iterate": lambda a, b: concatenate([row * 2.0 for row in a]),
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_rules(name: str) -> None:
    inputs = [values((2, 3, 4)), values((2, 3, 4), 1)]
    assert check_gradients(MOVES[name], inputs, TOLERANCE) < TOLERANCE


def test_every_primitive_of_the_tensor_module_has_a_rule() -> None:
    assert set(PRIMITIVES) <= set(autograd._RULES)


# Corners


def test_ties_share_the_gradient_equally() -> None:
    a, b = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    a.maximum(b).sum().backward()
    assert (gradient_of(a), gradient_of(b)) == ([0.5, 1.0], [0.5, 0.0])
    a, b = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    a.minimum(b).sum().backward()
    assert (gradient_of(a), gradient_of(b)) == ([0.5, 0.0], [0.5, 1.0])
    x = leaf([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]])
    x.max(axis=1).sum().backward()
    assert gradient_of(x) == [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    x = leaf([2.0, 2.0, 2.0, 2.0])
    x.min().backward()
    assert gradient_of(x) == [0.25] * 4


def test_clip_passes_the_gradient_at_its_bounds() -> None:
    x = leaf([-2.0, -1.0, 0.0, 1.0, 2.0])
    x.clip(-1, 1).sum().backward()
    assert gradient_of(x) == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_absolute_value_at_zero() -> None:
    x = leaf([0.0, -3.0])
    abs(x).sum().backward()
    assert gradient_of(x) == [0.0, -1.0]


def test_power_at_zero() -> None:
    x, p = leaf([0.0, 0.0, 0.0]), leaf([0.0, 1.0, 2.0])
    (x**p).sum().backward()
    assert gradient_of(x) == [0.0, 1.0, 0.0]
    assert gradient_of(p)[1:] == [0.0, 0.0]


def test_power_of_a_negative_base_with_a_constant_exponent() -> None:
    x = leaf([-2.0])
    (x**3).sum().backward()
    assert gradient_of(x) == [12.0]


def test_integer_operands_are_constants() -> None:
    x = leaf([1.0, 2.0])
    (x * Tensor([3, 4]) + np.array([1, 2]) - 5).sum().backward()
    assert gradient_of(x) == [3.0, 4.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradients_have_the_dtype_of_their_tensor(dtype: Any) -> None:
    x = Tensor(np.ones(3), dtype=dtype, requires_grad=True)
    other = Tensor(np.ones((2, 3)), dtype=np.float64, requires_grad=True)
    y = ((x * 2.0 + 1.0).exp().tanh() * other).sum() + x.mean() + (x @ x) + (x**2).max() + x.erf().sum()
    y.backward()
    assert x.grad is not None
    assert other.grad is not None
    assert x.grad.dtype == dtype
    assert other.grad.dtype == np.float64


# The walk


def test_known_example() -> None:
    w, x, b = leaf(3.0), leaf(2.0), leaf(1.0)
    ((w * x + b) ** 2).backward()
    assert (gradient_of(w), gradient_of(x), gradient_of(b)) == (28.0, 42.0, 14.0)


def test_uses_add_up() -> None:
    x = leaf(3.0)
    y = x * x
    (y + y * x + x).backward()  # 2 x + 3 x^2 + 1
    assert gradient_of(x) == 6.0 + 27.0 + 1.0


def test_a_diamond_waits_for_all_consumers() -> None:
    x = leaf(2.0)
    y = x * 3.0
    short = y + 0.0
    long = (((y * 2.0) * 2.0) * 2.0) + 0.0
    (long + short).backward()
    assert gradient_of(x) == 27.0


def test_gradients_accumulate_until_they_are_zeroed() -> None:
    x = leaf([1.0, 2.0])
    (x * 2.0).sum().backward()
    (x * 3.0).sum().backward()
    assert gradient_of(x) == [5.0, 5.0]
    x.zero_grad()
    (x * 3.0).sum().backward()
    assert gradient_of(x) == [3.0, 3.0]


def test_gradients_of_different_tensors_share_no_memory() -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.array([1.0, 1.0])
    (a + b).backward(Tensor(seed))
    assert a.grad is not None
    assert b.grad is not None
    assert not np.shares_memory(a.grad.data, b.grad.data)
    assert not np.shares_memory(a.grad.data, seed)
    a.grad.data[0] = 99.0
    assert gradient_of(b) == [1.0, 1.0]


def test_gradients_are_writable_even_from_broadcasts() -> None:
    x = leaf([1.0, 2.0])
    x.sum().backward()
    assert x.grad is not None
    x.grad.data *= 2.0
    assert gradient_of(x) == [2.0, 2.0]


def test_backward_with_a_gradient() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    backward(y, gradient=np.array([1.0, 10.0]), retain_graph=True)
    y.backward(Tensor([1.0, 10.0]))
    assert gradient_of(x) == [4.0, 80.0]


def test_backward_from_a_leaf() -> None:
    x = leaf(3.0)
    x.backward()
    assert gradient_of(x) == 1.0


def test_intermediate_results_keep_a_gradient_on_request_only() -> None:
    x = leaf(3.0)
    kept = x * 2.0
    kept.requires_grad = True
    other = kept * 5.0
    (other * 7.0).backward()
    assert gradient_of(kept) == 35.0
    assert other.grad is None
    assert gradient_of(x) == 70.0


def test_constants_receive_nothing() -> None:
    x, constant = leaf(3.0), Tensor(2.0)
    (x * constant).backward()
    assert constant.grad is None
    assert (constant * 3.0).origin is None


def test_detach_stops_the_gradient() -> None:
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert gradient_of(x) == 3.0


def test_integer_results_are_not_recorded() -> None:
    x = leaf([1.5])
    assert x.astype(np.int64).origin is None
    assert (x > 1.0).origin is None


def test_deep_graphs_need_no_recursion_to_walk_or_to_die() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    y.backward()
    assert gradient_of(x) == 1.0
    y = x
    for _ in range(100_000):
        y = -y
    watch = weakref.ref(y)
    del y  # never walked: the whole chain is destroyed here
    assert watch() is None


def test_graphs_die_without_the_garbage_collector() -> None:
    x = leaf(np.ones(3))
    gc.collect()
    gc.disable()
    try:
        y = x * 2.0
        z = (y.exp() + y).sum()
        watch = weakref.ref(y)
        del y
        assert watch() is not None  # the graph needs it
        del z
        assert watch() is None
    finally:
        gc.enable()


def test_a_freed_graph_lets_go_of_its_arrays() -> None:
    x = leaf(np.ones(3))
    y = x * 2.0
    z = (y * y).sum()
    watch = weakref.ref(y)
    del y
    z.backward()
    assert watch() is None


def test_a_second_walk_needs_retain_graph() -> None:
    x = leaf(3.0)
    y = x * x
    backward(y, retain_graph=True)
    y.backward()
    assert gradient_of(x) == 12.0
    with pytest.raises(
        RuntimeError, match="freed by an earlier backward; compute it again, or say retain_graph"
    ):
        y.backward()
    assert gradient_of(x) == 12.0


def test_a_shared_part_that_was_freed_is_noticed_and_changes_nothing() -> None:
    x = leaf(3.0)
    shared = x * x
    first, second = shared * 2.0, shared * 3.0 + x
    first.backward()
    with pytest.raises(RuntimeError, match="freed"):
        second.backward()
    assert gradient_of(x) == 12.0


def test_overwriting_an_input_between_forward_and_backward_is_noticed() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    loss = (x * w).sum()
    w.data -= 1.0
    with pytest.raises(
        RuntimeError, match=r"input 1 \(shape \(2,\)\) of 'multiply' was overwritten after the forward"
    ):
        loss.backward()
    assert x.grad is None


# grad


def test_grad_returns_and_stores_nothing() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x * w
    by_x, by_w = grad((y * y).sum(), [x, w])
    assert by_x.tolist() == [18.0, 64.0]
    assert by_w.tolist() == [6.0, 32.0]
    assert x.grad is None
    assert w.grad is None


def test_grad_of_one_tensor_and_of_intermediates() -> None:
    x = leaf(3.0)
    y = x * x
    z = y * 5.0
    assert grad(z, y, retain_graph=True).item() == 5.0
    assert [g.item() for g in grad(z, [x, y, z])] == [30.0, 5.0, 1.0]


def test_grad_with_weights() -> None:
    x = leaf([1.0, 2.0])
    assert grad(x * x, x, gradient=Tensor([1.0, -1.0])).tolist() == [2.0, -4.0]


def test_grad_of_something_unused() -> None:
    x, other = leaf(3.0), leaf([1.0, 2.0])
    y = x * x
    with pytest.raises(ValueError, match="does not depend on input 1"):
        grad(y, [x, other])
    by_x, by_other = grad(y, [x, other], allow_unused=True)
    assert (by_x.item(), by_other.tolist()) == (6.0, [0.0, 0.0])


# no_grad


def test_no_grad_as_a_block_nested_and_as_a_decorator() -> None:
    x = leaf(3.0)
    with no_grad():
        assert (x * 2.0).origin is None
        with no_grad():
            pass
        assert (x * 2.0).origin is None
    assert (x * 2.0).origin is not None

    @no_grad()
    def predict() -> Tensor:
        return x * 2.0

    assert predict().origin is None
    assert (x * 2.0).origin is not None


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (leaf(3.0) * 2.0).origin is not None


def test_no_grad_concerns_its_own_thread() -> None:
    x = leaf(3.0)
    recorded = []
    with no_grad():
        other = threading.Thread(target=lambda: recorded.append((x * 2.0).origin is not None))
        other.start()
        other.join()
    assert recorded == [True]


# Refusals


def test_refusals_of_backward() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(2,\) has no single gradient; reduce it to one element"):
        (x * 2.0).backward()
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        Tensor([1.0]).backward()
    with pytest.raises(TypeError, match="only floating tensors can be differentiated; found dtype int64"):
        Tensor([1]).backward()
    with pytest.raises(ValueError, match=r"must have the tensor's shape \(2,\); found \(1,\)"):
        (x * 2.0).backward(Tensor([1.0]))
    with pytest.raises(TypeError, match="gradient must be numeric"):
        backward(x * 2.0, gradient=np.array(["a", "b"]))
    with pytest.raises(TypeError, match="only a Tensor can be differentiated; found float"):
        backward(1.0)  # type: ignore[arg-type]
    with no_grad():
        computed = (x * 2.0).sum()
        with pytest.raises(RuntimeError, match=r"inside no_grad\(\)"):
            x.sum().backward()
    with pytest.raises(RuntimeError, match=r"computed under no_grad\(\)"):
        computed.backward()
    assert x.grad is None


def test_one_element_of_any_shape_is_enough() -> None:
    x = leaf([[2.0]])
    (x * x).backward()
    assert gradient_of(x) == [[4.0]]


# Rules of one's own


@pytest.fixture
def own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autograd, "_RULES", dict(autograd._RULES))


CUBE = Primitive("cube_for_test", lambda a, *, times: times * a**3)


@pytest.mark.usefixtures("own_rules")
def test_a_primitive_without_a_rule_and_with_one() -> None:
    x = leaf(2.0)
    with pytest.raises(
        RuntimeError, match="'cube_for_test' has no gradient rule; give it one with register_gradient"
    ):
        apply(CUBE, x, times=2.0).backward()
    register_gradient(
        "cube_for_test", lambda g, inputs, y, params, needed: (g * 3 * params["times"] * inputs[0] ** 2,)
    )
    assert check_gradients(lambda t: apply(CUBE, t, times=2.0), [values((3,))]) < TOLERANCE


@pytest.mark.usefixtures("own_rules")
def test_register_gradient_refusals() -> None:
    with pytest.raises(ValueError, match="'exp' has a gradient rule already"):
        register_gradient("exp", lambda *_: ())
    with pytest.raises(TypeError, match="must be callable; found int"):
        register_gradient("new", 3)  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_rules")
def test_wrong_rules_are_named() -> None:
    register_gradient("cube_for_test", lambda g, inputs, y, params, needed: (g, g))
    with pytest.raises(ValueError, match="rule of 'cube_for_test' gave 2 gradients for 1 inputs"):
        apply(CUBE, leaf(2.0), times=1.0).backward()


@pytest.mark.usefixtures("own_rules")
def test_a_rule_that_gives_the_wrong_shape_is_noticed() -> None:
    register_gradient("cube_for_test", lambda g, inputs, y, params, needed: (g[:2],))
    with pytest.raises(
        ValueError, match=r"gradient of shape \(2,\) does not belong to an input of shape \(3,\)"
    ):
        apply(CUBE, leaf([1.0, 2.0, 3.0]), times=1.0).sum().backward()


# Gradient checking


def test_numerical_gradient_of_a_known_function() -> None:
    x = Tensor(np.array([0.5, 20.0]))
    (estimate,) = numerical_gradient(lambda t: t.sin(), [x])
    np.testing.assert_allclose(estimate.data, np.cos(x.data), rtol=1e-8)
    (weighted,) = numerical_gradient(lambda t: t.sin(), [x], gradient=Tensor(np.array([2.0, -1.0])))
    np.testing.assert_allclose(weighted.data, np.cos(x.data) * [2.0, -1.0], rtol=1e-8)
    assert x.tolist() == [0.5, 20.0]


def test_gradient_checking_needs_float64() -> None:
    with pytest.raises(TypeError, match="needs float64 tensors; input 0 has dtype float32"):
        check_gradients(lambda t: t, [zeros(2)])
    with pytest.raises(TypeError, match="input 0 has ndarray"):
        numerical_gradient(lambda t: t, [np.zeros(2)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="step must be positive; found 0"):
        numerical_gradient(lambda t: t, [values((2,))], step=0)


def test_check_gradients_finds_a_missing_part_and_names_the_place() -> None:
    def half_hidden(t: Tensor) -> Tensor:
        return t * t.detach()

    with pytest.raises(AssertionError, match=r"gradient of input 0 at \(\d,\): reverse mode gives"):
        check_gradients(half_hidden, [positive((3,))])


def test_check_gradients_finds_nan() -> None:
    with pytest.raises(AssertionError, match="reverse mode gives nan"):
        check_gradients(lambda t: t * float("nan"), [positive((2,))])


# A whole training step against the formulas


def test_a_network_against_its_hand_written_gradients() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((8, 5)), rng.integers(0, 3, 8)
    arrays = [rng.standard_normal(s) for s in ((5, 7), (7,), (7, 3), (3,))]
    w1, b1, w2, b2 = (leaf(a) for a in arrays)
    hidden = (Tensor(x) @ w1 + b1).maximum(0.0)
    scores = hidden @ w2 + b2
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - shifted.exp().sum(axis=1, keepdims=True).log()
    (-logs[np.arange(8), labels].mean()).backward()

    before = x @ arrays[0] + arrays[1]
    h = np.maximum(before, 0)
    z = h @ arrays[2] + arrays[3]
    d = np.exp(z - z.max(1, keepdims=True))
    d /= d.sum(1, keepdims=True)
    d[np.arange(8), labels] -= 1
    d /= 8
    dh = (d @ arrays[2].T) * (before > 0)
    for parameter, expected in zip((w1, b1, w2, b2), (x.T @ dh, dh.sum(0), h.T @ d, d.sum(0)), strict=True):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.data, expected, rtol=1e-10, atol=1e-14)


def test_gradients_survive_threads_that_record_at_once() -> None:
    results: list[Any] = []

    def work(seed: int) -> None:
        x = leaf(np.full(4, float(seed)))
        for _ in range(20):
            (x * x).sum().backward()
        results.append((seed, gradient_of(x)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(seed, [40.0 * seed] * 4) for seed in range(4)]
