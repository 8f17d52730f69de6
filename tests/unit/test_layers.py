"""Unit tests of the layers: the walk through the tree, states, and the numbers of the three layers."""

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear, Parameter
from tinytorch.core.tensor import Tensor, ones, zeros

deterministic = settings(derandomize=True, max_examples=30, deadline=None)


def values(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


class Scale(Layer):
    """Multiplies by a learned factor and counts its calls."""

    def __init__(self, factor: float) -> None:
        self.factor = Parameter(factor)
        self.register_buffer("calls", np.array(0))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return x * self.factor


class Tree(Layer):
    """A layer with sub-layers in attributes, lists and tuples, a parameter of its own, and other things."""

    def __init__(self) -> None:
        self.name = "tree"
        self.first = Scale(1.0)
        self.many = [Scale(2.0), (Scale(3.0), Parameter([4.0]))]
        self.own = Parameter([5.0])
        self.plain = Tensor([6.0], requires_grad=True)


TREE_PARAMETERS = ["many.1.1", "own", "first.factor", "many.0.factor", "many.1.0.factor"]


def test_a_parameter_wants_a_gradient_and_copies_its_data() -> None:
    array = values((2, 3))
    parameter = Parameter(array)
    array[:] = 0.0
    assert parameter.requires_grad
    assert parameter.dtype == np.float64
    assert parameter.data.any()
    assert Parameter(parameter, np.float32).dtype == np.float32


def test_integers_are_no_parameters() -> None:
    with pytest.raises(TypeError, match="only float tensors have gradients, found dtype int64"):
        Parameter([1, 2])


def test_parameters_are_found_by_path() -> None:
    tree = Tree()
    assert [name for name, _ in tree.named_parameters()] == TREE_PARAMETERS
    assert [parameter.data.item() for parameter in tree.parameters()] == [4.0, 5.0, 1.0, 2.0, 3.0]
    assert [name for name, _ in tree.named_layers()] == ["", "first", "many.0", "many.1.0"]


def test_shared_parts_count_once_and_cycles_end() -> None:
    tree = Tree()
    tree.again = tree.first  # type: ignore[attr-defined]
    tree.tied = tree.own  # type: ignore[attr-defined]
    tree.first.parent = tree  # type: ignore[attr-defined]
    assert [name for name, _ in tree.named_parameters()] == TREE_PARAMETERS


def test_train_and_eval_reach_every_layer() -> None:
    tree = Tree()
    assert all(layer.training for _, layer in tree.named_layers())
    assert tree.eval() is tree
    assert not any(layer.training for _, layer in tree.named_layers())
    assert tree.train() is tree
    assert all(layer.training for _, layer in tree.named_layers())


def test_zero_grad_forgets_all_gradients() -> None:
    tree = Tree()
    for parameter in tree.parameters():
        parameter.grad = ones(parameter.shape)
    tree.zero_grad()
    assert [parameter.grad for parameter in tree.parameters()] == [None] * 5


def test_forward_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match=r"Tree does not define forward\(\)"):
        Tree()(1)


def test_buffers_belong_to_the_state_and_are_not_learned() -> None:
    scale = Scale(2.0)
    scale(ones(1))
    assert dict(scale.named_buffers()) == {"calls": 1}
    assert scale.state_dict() == {"factor": 2.0, "calls": 1}
    assert [name for name, _ in scale.named_parameters()] == ["factor"]
    assert Scale(1.0).state_dict()["calls"] == 0  # buffers are not shared between objects


@pytest.mark.parametrize("name", ["calls", "forward", "a.b", ""])
def test_buffer_names_must_be_new(name: str) -> None:
    with pytest.raises(ValueError, match="a buffer needs a new attribute name"):
        Scale(1.0).register_buffer(name, np.zeros(1))


def test_buffers_are_arrays() -> None:
    with pytest.raises(TypeError, match="buffer 'mean' must be a NumPy array, found list"):
        Scale(1.0).register_buffer("mean", [0.0])  # type: ignore[arg-type]


def test_a_state_is_a_snapshot_that_can_be_restored() -> None:
    tree = Tree()
    state = tree.state_dict()
    for parameter in tree.parameters():
        parameter.data = parameter.data * 0.0
    tree.first(ones(1))
    assert state["own"] == 5.0
    before = tree.parameters()
    tree.load_state_dict(state)
    assert all(old is new for old, new in zip(before, tree.parameters(), strict=True))
    assert all(np.array_equal(value, state[name]) for name, value in tree.state_dict().items())
    state["own"][:] = 9.0
    assert tree.own.data == 5.0  # the values were copied


def test_a_state_that_does_not_fit_is_refused_with_all_reasons_and_changes_nothing() -> None:
    linear = Linear(2, 3, rng=0)
    before = linear.state_dict()
    with pytest.raises(ValueError, match="the state does not fit Linear") as caught:
        linear.load_state_dict({"weight": np.ones((3, 2)), "offset": np.ones(3), "scale": np.ones(1)})
    assert str(caught.value).splitlines() == [
        "the state does not fit Linear:",
        "  missing: bias",
        "  unexpected: offset, scale",
        "  weight: shape (2, 3) expected, found (3, 2)",
    ]
    with pytest.raises(ValueError, match=r"bias: shape \(3,\) expected, found \(4,\)"):
        linear.load_state_dict({"weight": np.ones((2, 3)), "bias": np.ones(4)})
    np.testing.assert_array_equal(linear.weight.data, before["weight"])


def test_not_strict_forgives_names_but_not_shapes() -> None:
    linear = Linear(2, 3, rng=0)
    linear.load_state_dict({"bias": np.ones(3), "other": np.ones(1)}, strict=False)
    assert linear.state_dict()["bias"].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="bias: shape"):
        linear.load_state_dict({"bias": np.ones(1)}, strict=False)


def test_loaded_values_take_the_dtype_here_unless_they_would_lose_their_kind() -> None:
    scale = Scale(2.0)
    scale.load_state_dict({"factor": Tensor(np.array(3.0)), "calls": np.array(7, dtype=np.int32)})
    assert scale.factor.dtype == np.float32
    assert scale.calls.dtype == np.array(0).dtype
    with pytest.raises(ValueError, match=r"calls: dtype int.* expected, found float64"):
        scale.load_state_dict({"factor": np.array(3.0), "calls": np.array(7.5)})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_layers_can_be_copied_and_pickled(duplicate: Any) -> None:
    linear = Linear(2, 3, rng=0)
    twin = duplicate(linear)
    assert isinstance(twin.weight, Parameter)
    assert twin.weight.requires_grad
    twin.weight.data = twin.weight.data + 1.0
    assert (twin.weight - linear.weight).min().item() == pytest.approx(1.0)


def test_reprs_say_what_a_layer_is() -> None:
    assert repr(Linear(2, 3, bias=False)) == "Linear(2, 3, bias=False)"
    assert repr(Dropout(0.1)) == "Dropout(p=0.1)"
    assert repr(LayerNorm((2, 3))) == "LayerNorm((2, 3), eps=1e-05)"


@deterministic
@given(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_linear_is_xw_plus_b_for_any_batch(batch: list[int], n: int, m: int, bias: bool) -> None:
    linear = Linear(n, m, bias=bias, rng=1, dtype=np.float64)
    if linear.bias is not None:
        linear.bias.data = values((m,), 2)
    x = values((*batch, n), 3)
    expected = np.einsum("...i,ij->...j", x, linear.weight.data)
    if linear.bias is not None:
        expected = expected + linear.bias.data
    np.testing.assert_allclose(linear(Tensor(x)).numpy(), expected, atol=1e-12)


def test_linear_starts_with_the_variance_of_lecun() -> None:
    linear = Linear(400, 300, rng=0)
    bound = np.sqrt(3 / 400)
    assert linear.weight.shape == (400, 300)
    assert linear.weight.dtype == np.float32
    assert linear.weight.data.var() == pytest.approx(1 / 400, rel=0.02)
    assert 0.99 * bound < np.abs(linear.weight.data).max() <= bound * (1 + 1e-6)
    assert linear.bias is not None
    assert not linear.bias.data.any()
    np.testing.assert_array_equal(linear.weight.data, Linear(400, 300, rng=0).weight.data)


def test_linear_refuses_what_does_not_fit() -> None:
    linear = Linear(3, 2)
    with pytest.raises(ValueError, match=r"Linear expects an input of shape \(\.\.\., 3\), found \(3, 4\)"):
        linear(zeros((3, 4)))
    with pytest.raises(ValueError, match=r"found \(\)"):
        linear(Tensor(1.0))
    with pytest.raises(TypeError, match="Linear expects a Tensor, found ndarray"):
        linear(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="out_features must be at least 1, found 0"):
        Linear(3, 0)
    with pytest.raises(TypeError, match=r"in_features must be an int, found 3\.0"):
        Linear(3.0, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float"):
        Linear(3, 2, dtype=np.int64)


def test_linear_takes_an_empty_batch() -> None:
    assert Linear(3, 2)(zeros((0, 3))).shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dropout_drops_a_share_and_scales_the_rest(dtype: Any) -> None:
    result = Dropout(0.2, rng=0)(ones(20_000, dtype=dtype))
    assert result.dtype == dtype
    array = result.numpy().astype(np.float64)
    assert (array == 0).mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(array[array != 0], 1.25, rtol=1e-3)


def test_dropout_is_the_identity_in_use_and_without_probability() -> None:
    x = ones(5)
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_draws_anew_each_time_and_repeatably() -> None:
    x = ones(100)
    first, second = Dropout(0.5, rng=3), Dropout(0.5, rng=3)
    one, two = first(x).numpy(), first(x).numpy()
    assert (one != two).any()
    np.testing.assert_array_equal(second(x).numpy(), one)
    np.testing.assert_array_equal(second(x).numpy(), two)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="the probability p must be at least 0 and below 1"):
        Dropout(p)


def test_dropout_takes_tensors_only() -> None:
    with pytest.raises(TypeError, match="Dropout expects a Tensor, found list"):
        Dropout()([1.0])


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 4, 5)])
def test_layer_norm_is_the_definition(shape: tuple[int, ...]) -> None:
    norm = LayerNorm(shape, eps=0.1, dtype=np.float64)
    assert norm.weight is not None
    assert norm.bias is not None
    norm.weight.data, norm.bias.data = values(shape, 1), values(shape, 2)
    x = values((2, 3, 4, 5), 3)
    axes = tuple(range(-len(shape), 0))
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 0.1) * values(shape, 1) + values(shape, 2)
    np.testing.assert_allclose(norm(Tensor(x)).numpy(), expected, atol=1e-12)


def test_layer_norm_without_gain_and_shift_and_of_equal_features() -> None:
    norm = LayerNorm(3, affine=False)
    assert norm.parameters() == []
    assert norm(Tensor([[7.0, 7.0, 7.0]])).tolist() == [[0.0, 0.0, 0.0]]


def test_layer_norm_refuses_what_does_not_fit() -> None:
    with pytest.raises(
        ValueError, match=r"LayerNorm expects an input of shape \(\.\.\., 2, 3\), found \(3,\)"
    ):
        LayerNorm((2, 3))(zeros(3))
    with pytest.raises(ValueError, match="at least one axis"):
        LayerNorm(())
    with pytest.raises(ValueError, match="eps must be a positive number, found 0"):
        LayerNorm(3, eps=0.0)
    with pytest.raises(ValueError, match="normalized_shape must be at least 1, found -1"):
        LayerNorm((3, -1))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Dropout(None), TypeError, "the probability p must be a number, found None"),
        (lambda: LayerNorm(3, eps="small"), TypeError, "eps must be a number, found 'small'"),
        (
            lambda: Linear(2, 2, dtype="abc"),
            TypeError,
            "a dtype is expected, such as np.float32, found 'abc'",
        ),
        (
            lambda: Linear(2, 2).load_state_dict(None),
            TypeError,
            "a state is a mapping from names to arrays, found NoneType",
        ),
        (
            lambda: Linear(2, 2).load_state_dict([("weight", 1)]),
            TypeError,
            "a state is a mapping from names to arrays, found list",
        ),
        (
            lambda: Linear(2, 2).register_buffer(3, np.ones(2)),
            ValueError,
            "a buffer needs a new attribute name, found 3",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
