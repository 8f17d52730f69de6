"""Unit tests of the mlops module."""

import contextlib
import io
import json
import math
import os
import pickle
import shutil
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import LeakyReLU, ReLU, Tanh
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear, Parameter
from tinytorch.core.mlops import (
    STANDARD_BUILDERS,
    AlertRule,
    DriftDetector,
    ModelBuilder,
    ModelFileError,
    ModelRegistry,
    RegistryError,
    RunningMoments,
    ServiceMonitor,
    benjamini_hochberg,
    binned_counts,
    build_model,
    category_counts,
    chi_squared_homogeneity,
    chi_squared_tail,
    decode_model,
    encode_model,
    kolmogorov_smirnov,
    kolmogorov_tail,
    load_model,
    nearest_rank,
    save_model,
    stability_index,
)
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import Tensor

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=60)
SMALL = {"builder": "mlp", "sizes": [4, 8, 3]}


def small(seed: int = 0) -> MLP:
    return MLP([4, 8, 3], rng=seed)


def examples(count: int = 5) -> Tensor:
    return Tensor(np.random.default_rng(9).standard_normal((count, 4)), dtype=np.float32)


def same(one: Layer, other: Layer, x: Tensor) -> bool:
    return bool(one.eval()(x).numpy().tobytes() == other.eval()(x).numpy().tobytes())


def archive(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content, compression)
    return target.getvalue()


def facts(config: Any = SMALL, number: Any = 1) -> tuple[str, bytes]:
    return "model.json", json.dumps({"format": number, "config": config}).encode()


def npy(array: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, array, **options)
    return target.getvalue()


class Trap:
    """Leaves a mark in the file system if it is ever unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


class TestModelBytes:
    def test_round_trip_of_every_dtype_and_layout(self) -> None:
        state = {
            f"a.{dtype}_{i}": array.astype(dtype)
            for dtype in ("bool", "int8", "uint16", "int64", "float16", "float32", "float64", ">f4")
            for i, array in enumerate(
                [np.array(3), np.arange(6).reshape(2, 3), np.zeros((0, 2)), np.eye(3).T]
            )
        }
        state = {name.replace(">", "big_"): array for name, array in state.items()}
        config, found = decode_model(encode_model({"builder": "x", "n": [1, 2.5, None]}, state))
        assert config == {"builder": "x", "n": [1, 2.5, None]}
        assert list(found) == list(state)
        for name, array in state.items():
            assert found[name].dtype == array.dtype.newbyteorder("=")
            assert found[name].shape == array.shape
            np.testing.assert_array_equal(found[name], array)

    def test_equal_models_give_equal_bytes_whenever_they_are_written(self, monkeypatch: Any) -> None:
        first = encode_model({"b": 1, "a": 2}, small().state_dict())
        monkeypatch.setattr("time.time", lambda: 0.0)
        monkeypatch.setattr("time.localtime", lambda *_: (1999, 1, 1, 0, 0, 0, 0, 0, 0))
        assert encode_model({"a": 2, "b": 1}, small().state_dict()) == first
        assert encode_model({"a": 2, "b": 1}, small(1).state_dict()) != first

    @pytest.mark.parametrize(
        ("name", "array", "text"),
        [
            ("w", np.array([1.0, np.nan, np.nan]), "w: numbers are expected, found 2 NaN"),
            ("w", np.array([None]), "Python objects, which only a pickle can hold"),
            ("w", np.array([1j]), "a dtype of .* is expected, found '<c16'"),
            ("w", np.array(["a"]), "is expected, found '<U1'"),
            ("w", [1.0], "a NumPy array is expected, found list"),
            ("../w", np.zeros(1), "look like 'layers.0.weight', found '../w'"),
            ("w\n", np.zeros(1), "look like"),
            ("", np.zeros(1), "look like"),
            (3, np.zeros(1), "look like"),
        ],
    )
    def test_states_that_are_refused(self, name: Any, array: Any, text: str) -> None:
        with pytest.raises(ModelFileError, match=text):
            encode_model({}, {name: array})

    @pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, Tensor([1.0])])
    def test_configurations_that_are_no_json(self, value: Any) -> None:
        with pytest.raises(ModelFileError, match="a configuration holds what JSON can hold"):
            encode_model({"builder": "x", "value": value}, {})

    def test_a_configuration_may_not_be_endless(self) -> None:
        with pytest.raises(ModelFileError, match="at most 1048576 bytes is expected, found 11"):
            encode_model({"text": "x" * 1_100_000}, {})
        with pytest.raises(ModelFileError, match="fewer than 10000 arrays are expected, found 10000"):
            encode_model({}, {f"a{i}": np.zeros(1) for i in range(10_000)})


class TestHostileFiles:
    """Each file is refused with a message, and nothing of it runs."""

    def refused(self, data: bytes, text: str, tmp_path: Path) -> None:
        path = tmp_path / "hostile.npz"
        path.write_bytes(data)
        before = sorted(tmp_path.parent.rglob("*"))
        with pytest.raises(ModelFileError, match=text):
            load_model(path)
        assert sorted(tmp_path.parent.rglob("*")) == before

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_a_pickle(self, tmp_path: Path, protocol: int) -> None:
        payload = pickle.dumps(Trap(tmp_path / "mark"), protocol)
        self.refused(payload, "archive\\) is expected, found", tmp_path)
        assert not (tmp_path / "mark").exists()
        pickle.loads(payload)  # the trap is armed: this is what was not done
        assert (tmp_path / "mark").exists()

    def test_a_pickle_is_called_one(self, tmp_path: Path) -> None:
        self.refused(pickle.dumps([1]), "found a pickle, which would run code when read", tmp_path)

    def test_an_object_array(self, tmp_path: Path) -> None:
        trapped = npy(np.array([Trap(tmp_path / "mark")], dtype=object))
        self.refused(archive([facts(), ("w.npy", trapped)]), r"found '\|O' \(Python objects", tmp_path)
        assert not (tmp_path / "mark").exists()

    def test_a_pickle_as_a_member(self, tmp_path: Path) -> None:
        payload = pickle.dumps(Trap(tmp_path / "mark"))
        self.refused(archive([facts(), ("w.npy", payload)]), "w.npy: a .npy array is expected", tmp_path)
        self.refused(
            archive([facts(), ("w.pkl", payload)]), "'NAME.npy' are expected, found 'w.pkl'", tmp_path
        )
        self.refused(archive([("model.json", payload)]), "model.json: a JSON object is expected", tmp_path)
        assert not (tmp_path / "mark").exists()

    @pytest.mark.parametrize(
        "name",
        [
            "../evil.npy",
            "/etc/evil.npy",
            "a/../../evil.npy",
            "..\\evil.npy",
            "c:evil.npy",
            "..npy",
            "a\n.npy",
        ],
    )
    def test_a_name_that_leads_elsewhere(self, tmp_path: Path, name: str) -> None:
        self.refused(archive([facts(), (name, npy(np.zeros(1)))]), "'NAME.npy' are expected, found", tmp_path)

    def test_a_zip_bomb(self, tmp_path: Path) -> None:
        bomb = archive([facts(), ("w.npy", npy(np.zeros(10**6)))], zipfile.ZIP_DEFLATED)
        assert len(bomb) < 20_000
        self.refused(bomb, "an uncompressed member is expected, found a compressed one", tmp_path)

    def test_members_that_overlap(self, tmp_path: Path) -> None:
        whole = archive([facts(), ("w.npy", npy(np.zeros(1000)))])
        start = struct.unpack("<I", whole[-6:-2])[0]  # of the table of contents
        entries = whole[start:-22]
        split = entries.index(b"PK\x01\x02", 4)
        copies = [entries[split:].replace(b"w.npy", b"%c.npy" % letter) for letter in b"abcdefgh"]
        listing = entries[:split] + b"".join(copies)
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, len(listing), start, 0)
        data = whole[:start] + listing + end
        self.refused(data, f"members of at most {len(data)} bytes together are expected, found", tmp_path)

    @pytest.mark.parametrize("shape", [(10**15,), (10**9, 10**9), (3,), ()])
    def test_a_header_that_promises_another_size(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        target = io.BytesIO()
        np.lib.format.write_array_header_1_0(target, {"descr": "<f8", "fortran_order": False, "shape": shape})
        data = archive([facts(), ("w.npy", target.getvalue() + bytes(16))])
        self.refused(data, rf"{8 * math.prod(shape)} bytes for shape .* expected, found 16", tmp_path)

    @pytest.mark.parametrize(
        "header",
        [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "(" * 500,
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2 3), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (02,), }",
            "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }",
            "{'descr': '<f8', 'shape': (2,), 'fortran_order': __import__('os'), }",
        ],
    )
    def test_a_header_that_numpy_would_not_write(self, tmp_path: Path, header: str) -> None:
        text = header.encode() + b"\n"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(16)
        self.refused(archive([facts(), ("w.npy", data)]), "w.npy: a .npy array is expected", tmp_path)

    def test_a_header_that_lies_about_its_length(self, tmp_path: Path) -> None:
        data = bytearray(npy(np.zeros(2)))
        data[8] -= 16
        self.refused(archive([facts(), ("w.npy", bytes(data))]), "w.npy: a .npy array is expected", tmp_path)

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"[" * 200_000, "a JSON object is expected"),
            (b"[1]", "a JSON object is expected, found list"),
            (b'{"format": 1, "config": {"x": NaN}}', "found the number NaN"),
            (b'{"format": 1, "config": {"x": ' + b"9" * 10_000 + b"}}", "a JSON object is expected"),
            (b'{"format": 1}', "format 1 with a configuration is expected, found format 1 with NoneType"),
            (b'{"format": 2, "config": {}}', "found format 2"),
            (b"\xff\xfe", "a JSON object is expected"),
            (b" " * 2**21, "of at most 1048576 bytes is expected"),
        ],
    )
    def test_json_that_is_none_or_not_ours(self, tmp_path: Path, content: bytes, text: str) -> None:
        self.refused(archive([("model.json", content)]), text, tmp_path)

    def test_no_configuration(self, tmp_path: Path) -> None:
        self.refused(archive([("w.npy", npy(np.zeros(1)))]), "a member model.json .* is expected", tmp_path)

    def test_a_name_twice(self, tmp_path: Path) -> None:
        members = [facts(), ("w.npy", npy(np.zeros(1))), ("w.npx", npy(np.ones(1)))]
        data = archive(members).replace(b"w.npx", b"w.npy")
        self.refused(data, "expected once, found one twice", tmp_path)

    def test_nan_in_a_file(self, tmp_path: Path) -> None:
        data = archive([facts(), ("w.npy", npy(np.array([np.nan])))])
        self.refused(data, "w.npy: numbers are expected, found 1 NaN", tmp_path)

    def test_too_many_members(self, tmp_path: Path) -> None:
        data = archive([facts(), *[(f"a{i}.npy", b"") for i in range(10_000)]])
        self.refused(data, "at most 10000 members are expected, found 10001", tmp_path)

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "large.npz"
        save_model(path, small(), SMALL)
        load_model(path, max_bytes=path.stat().st_size)
        with pytest.raises(ModelFileError, match=r"large.npz: at most \d+ bytes are expected, found more"):
            load_model(path, max_bytes=path.stat().st_size - 1)

    @pytest.mark.parametrize(
        "data", [b"", b"\x00" * 100, b"garbage", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)]
    )
    def test_garbage(self, tmp_path: Path, data: bytes) -> None:
        self.refused(data, "is expected, found|archive is damaged", tmp_path)

    def test_every_truncation(self) -> None:
        whole = encode_model(SMALL, small().state_dict())
        for length in range(0, len(whole), 7):
            with pytest.raises(ModelFileError):
                decode_model(whole[:length])

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
    def test_any_damage_is_refused_or_harmless(self, changes: list[tuple[int, int]]) -> None:
        state = {"w": np.arange(4.0), "b": np.arange(3)}
        data = bytearray(encode_model({"builder": "x"}, state))
        for place, value in changes:
            data[place % len(data)] = value
        try:
            _, found = decode_model(bytes(data))
        except ModelFileError:
            return
        for name in found.keys() & state.keys():  # what the checksums let pass is as it was
            np.testing.assert_array_equal(found[name], state[name])

    def test_every_byte_of_the_table_of_contents(self) -> None:
        data = encode_model({"builder": "x"}, {"w": np.arange(4.0)})
        for place in [*range(60), *range(len(data) - 130, len(data))]:
            for value in (0, 1, 8, 64, 255):
                changed = bytearray(data)
                changed[place] = value
                with contextlib.suppress(ModelFileError):  # any other exception fails the test
                    decode_model(bytes(changed))


class Twice(Layer):
    """A layer of a student's own: x W W."""

    def __init__(self, width: int) -> None:
        self.weight = Parameter(Tensor(np.eye(width, dtype=np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight @ self.weight


ALL_KINDS = [
    {"builder": "conv2d", "in_channels": 2, "out_channels": 4, "kernel_size": 3, "padding": 1},
    {"builder": "batch_norm2d", "channels": 4},
    {"builder": "relu"},
    {"builder": "max_pool2d", "kernel_size": 2},
    {"builder": "conv2d", "in_channels": 4, "out_channels": 3, "kernel_size": [1, 2], "bias": False},
    {"builder": "batch_norm2d", "channels": 3, "affine": False},
    {"builder": "leaky_relu", "negative_slope": 0.2},
    {"builder": "avg_pool2d", "kernel_size": [2, 1]},
    {"builder": "flatten"},
    {"builder": "layer_norm", "normalized_shape": [9]},
    {"builder": "layer_norm", "normalized_shape": 9, "affine": False},
    {"builder": "linear", "in_features": 9, "out_features": 8},
    {"builder": "gelu", "approximate": "tanh"},
    {"builder": "sequential", "steps": [{"builder": "dropout", "p": 0.5}, {"builder": "sigmoid"}]},
    {"builder": "mlp", "sizes": [8, 7, 6], "activation": {"builder": "tanh"}, "bias": False},
    {"builder": "linear", "in_features": 6, "out_features": 5, "bias": False},
    {"builder": "softmax"},
    {"builder": "log_softmax", "axis": 1},
]


class TestBuilding:
    def test_every_standard_builder(self) -> None:
        model = build_model({"builder": "sequential", "steps": ALL_KINDS})
        assert isinstance(model, Sequential)
        kinds = [type(step) for step in model]
        assert kinds[:5] == [Conv2D, BatchNorm2D, ReLU, MaxPool2D, Conv2D]
        assert kinds[5:12] == [BatchNorm2D, LeakyReLU, AvgPool2D, Flatten, LayerNorm, LayerNorm, Linear]
        assert model[4].kernel_size == (1, 2)
        assert model[6].negative_slope == 0.2
        assert isinstance(model[13][0], Dropout)
        assert isinstance(model[14].activation, Tanh)
        used = {kind["builder"] for kind in ALL_KINDS} | {"sequential", "dropout", "sigmoid", "tanh"}
        assert used == set(STANDARD_BUILDERS)
        assert model(Tensor(np.zeros((2, 2, 6, 8), np.float32))).shape == (2, 5)

    def test_elements_are_announced_exactly(self) -> None:
        for kind in ALL_KINDS:
            config = {"builder": "sequential", "steps": [kind]}
            count = sum(array.size for array in build_model(config).state_dict().values())
            build_model(config, max_elements=count)
            if count:
                with pytest.raises(ModelFileError, match=f"at most {count - 1} numbers .* found {count}"):
                    build_model(config, max_elements=count - 1)

    def test_a_model_beyond_the_limit_is_not_made(self) -> None:
        made = []
        builders = {"big": ModelBuilder(lambda: made.append(1), lambda: 11)}
        with pytest.raises(ModelFileError, match="at most 10 numbers is expected, found 11"):
            build_model({"builder": "big"}, builders, max_elements=10)
        assert made == []

    @pytest.mark.parametrize("sizes", [[10**6, 10**6], [10**6, 10**6, -(10**7), 10**7], [3, 10**400]])
    def test_a_file_cannot_ask_for_more_than_it_brings(self, sizes: list[int]) -> None:
        data = archive([facts({"builder": "mlp", "sizes": sizes}), ("w.npy", npy(np.zeros(9)))])
        with pytest.raises(ModelFileError):
            build_model(decode_model(data)[0], max_elements=9)

    @pytest.mark.parametrize("name", ["os.system", "Linear", "__import__", "", None, 3, ["linear"], {}])
    def test_only_names_in_the_table(self, name: Any) -> None:
        with pytest.raises(ModelFileError, match=r"a builder of \['avg_pool2d', .*\] is expected, found"):
            build_model({"builder": name})
        with pytest.raises(ModelFileError, match="a builder of"):
            build_model({"builder": "sequential", "steps": [{"name": "linear"}]})

    @pytest.mark.parametrize(
        "config",
        [
            {"builder": "linear", "in_features": 2},
            {"builder": "linear", "in_features": 2, "out_features": "3"},
            {"builder": "linear", "in_features": True, "out_features": 3},
            {"builder": "linear", "in_features": 2.0, "out_features": 3},
            {"builder": "linear", "in_features": 2, "out_features": 3, "command": "ls"},
            {"builder": "mlp", "sizes": [2, 0]},
            {"builder": "mlp", "sizes": "23"},
            {"builder": "mlp", "sizes": [2, 3], "initialise": "os.system"},
            {"builder": "mlp", "sizes": [2, 3], "activation": "print"},
            {"builder": "sequential", "steps": 5},
            {"builder": "sequential", "steps": ["print"]},
            {"builder": "dropout", "p": 2.0},
        ],
    )
    def test_arguments_that_do_not_suit(self, config: dict[str, Any]) -> None:
        with pytest.raises(ModelFileError, match=f"builder '{config['builder']}' does not take"):
            build_model(config)

    def test_no_layer(self) -> None:
        with pytest.raises(ModelFileError, match="a configuration of a Layer is expected, found one of ReLU"):
            build_model({"builder": "relu"})

    def test_depth(self) -> None:
        def nested(levels: int) -> dict[str, Any]:
            inner = nested(levels - 1) if levels else {"builder": "relu"}
            return {"builder": "sequential", "steps": [inner]}

        assert isinstance(build_model(nested(7)), Sequential)
        with pytest.raises(ModelFileError, match="at most 16 levels deep"):
            build_model(nested(8))

    def test_a_builder_of_ones_own(self, tmp_path: Path) -> None:
        builders = {**STANDARD_BUILDERS, "twice": ModelBuilder(Twice, lambda width: width * width)}
        config = {"builder": "sequential", "steps": [{"builder": "twice", "width": 4}]}
        model = Sequential(Twice(4))
        model[0].weight.data = np.arange(16, dtype=np.float32).reshape(4, 4)
        save_model(tmp_path / "net.npz", model, config, builders, examples())
        assert same(load_model(tmp_path / "net.npz", builders), model, examples())
        with pytest.raises(ModelFileError, match="found 'twice'"):
            load_model(tmp_path / "net.npz")

    def test_the_table_cannot_be_changed(self) -> None:
        with pytest.raises(TypeError):
            STANDARD_BUILDERS["evil"] = ModelBuilder(print)  # type: ignore[index]


class TestSaving:
    def test_round_trip_in_use_with_a_digest(self, tmp_path: Path) -> None:
        model = build_model({"builder": "sequential", "steps": ALL_KINDS}).train()
        images = Tensor(np.random.default_rng(0).standard_normal((3, 2, 6, 8)), dtype=np.float32)
        model(images)  # moves the buffers
        path = tmp_path / "net.npz"
        digest = save_model(path, model, {"builder": "sequential", "steps": ALL_KINDS}, example=images)
        assert all(layer.training for _, layer in model.named_layers())
        found = load_model(str(path), sha256=digest.upper())
        assert not any(layer.training for _, layer in found.named_layers())
        assert same(found, model, images)
        assert [entry.name for entry in tmp_path.iterdir()] == ["net.npz"]

    def test_another_digest(self, tmp_path: Path) -> None:
        path = tmp_path / "net.npz"
        digest = save_model(path, small(), SMALL)
        other = save_model(path, small(1), SMALL)
        with pytest.raises(ModelFileError, match=f"SHA-256 digest {digest} is expected, found {other}"):
            load_model(path, sha256=digest)

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            ({"builder": "mlp", "sizes": [4, 8, 4]}, "at most 67 numbers is expected, found 76"),
            ({"builder": "mlp", "sizes": [4, 7, 3]}, r"shape \(4, 7\) expected, found \(4, 8\)"),
            ({"builder": "mlp", "sizes": [4, 8, 3], "bias": False}, "unexpected: linears.0.bias"),
            ({"builder": "sequential", "steps": [SMALL]}, "missing: 0.linears.0.weight"),
            ({**SMALL, "activation": {"builder": "tanh"}}, "predicts something else"),
            ({"builder": "pickle"}, "a builder of"),
        ],
    )
    def test_a_configuration_of_another_model(
        self, tmp_path: Path, config: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(ModelFileError, match=text):
            save_model(tmp_path / "net.npz", small(), config, example=examples())
        assert list(tmp_path.iterdir()) == []

    def test_a_narrower_dtype_would_round(self, tmp_path: Path) -> None:
        config = {"builder": "linear", "in_features": 4, "out_features": 2}
        wide = Linear(4, 2, dtype=np.float64)
        with pytest.raises(ModelFileError, match="weight: dtype float32 expected, found float64"):
            save_model(tmp_path / "net.npz", wide, config)
        save_model(tmp_path / "net.npz", wide, {**config, "dtype": "float64"})
        assert load_model(tmp_path / "net.npz").state_dict()["weight"].dtype == np.float64

    def test_no_model_and_nan(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="a Layer is expected as model, found ReLU"):
            save_model(tmp_path / "net.npz", ReLU(), {"builder": "relu"})  # type: ignore[arg-type]
        broken = small()
        broken.linears[0].weight.data[0, 0] = np.nan
        with pytest.raises(ModelFileError, match=r"linears.0.weight: numbers are expected, found 1 NaN"):
            save_model(tmp_path / "net.npz", broken, SMALL)

    def test_a_failure_while_writing_leaves_the_old_file(self, tmp_path: Path, monkeypatch: Any) -> None:
        path = tmp_path / "net.npz"
        digest = save_model(path, small(), SMALL)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        for function in ("os.fsync", "os.replace"):
            with monkeypatch.context() as patch:
                patch.setattr(function, full)
                with pytest.raises(OSError, match="No space left"):
                    save_model(path, small(1), SMALL)
            assert [entry.name for entry in tmp_path.iterdir()] == ["net.npz"]
            assert same(load_model(path, sha256=digest), small(), examples())


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models", clock=lambda: 86_400.0)


def with_versions(registry: ModelRegistry, count: int) -> ModelRegistry:
    for seed in range(count):
        registry.register("net", small(seed), SMALL)
    return registry


def to_production(registry: ModelRegistry, *versions: int) -> None:
    for version in versions:
        registry.promote("net", version, "staging")
        registry.promote("net", version, "production")


class TestRegistry:
    def test_versions_are_numbered_and_described(self, registry: ModelRegistry) -> None:
        first = registry.register("net", small(0), SMALL, {"accuracy": 0.9, "n": 3}, "first", examples())
        registry.register("net", small(1), SMALL)
        registry.register("other-net_2", small(2), SMALL)
        assert (first.name, first.version, first.notes) == ("net", 1, "first")
        assert (first.metrics, first.created) == ({"accuracy": 0.9, "n": 3.0}, "1970-01-02T00:00:00+00:00")
        again = ModelRegistry(registry.root)
        assert again.names() == ["net", "other-net_2"]
        assert again.versions("net")[0] == first
        assert [entry.version for entry in again.versions("net")] == [1, 2]
        for number in (1, 2):
            assert same(again.load("net", number), small(number - 1), examples())
        stored = registry.root / "net" / "versions" / "000001" / "model.npz"
        assert first.size == stored.stat().st_size

    def test_an_empty_registry(self, registry: ModelRegistry) -> None:
        assert registry.names() == []
        with pytest.raises(RegistryError, match=r"no model 'net': the registry has \[\]"):
            registry.versions("net")
        assert not registry.root.exists()

    @pytest.mark.parametrize(
        "name",
        [
            "../net",
            "..",
            ".",
            "",
            "/etc",
            "a/b",
            "a\\b",
            "Net",
            "net\n",
            ".new-1",
            "-net",
            "n" * 65,
            "nét",
            3,
            None,
        ],
    )
    def test_names_that_leave_the_folder(self, registry: ModelRegistry, name: Any) -> None:
        for call in (
            lambda: registry.register(name, small(), SMALL),
            lambda: registry.load(name, 1),
            lambda: registry.versions(name),
            lambda: registry.stages(name),
            lambda: registry.rollback(name),
            lambda: registry.promote(name, 1, "staging"),
        ):
            with pytest.raises(RegistryError, match="a model's name is 1 to 64 of a-z"):
                call()
        assert not registry.root.exists()

    def test_a_link_that_leaves_the_folder(self, registry: ModelRegistry, tmp_path: Path) -> None:
        with_versions(ModelRegistry(tmp_path / "elsewhere"), 1)
        registry.root.mkdir()
        (registry.root / "net").symlink_to(tmp_path / "elsewhere" / "net")
        with pytest.raises(RegistryError, match="'net' leads out of the registry"):
            registry.load("net", 1)

    @pytest.mark.parametrize("version", [0, 3, -1, True, "1", 1.0, "../1"])
    def test_unknown_versions(self, registry: ModelRegistry, version: Any) -> None:
        with_versions(registry, 2)
        for call in (registry.version, registry.load):
            with pytest.raises(RegistryError, match=r"no version .* of 'net': the registry has \[1, 2\]"):
                call("net", version)
        with pytest.raises(RegistryError, match="no version"):
            registry.promote("net", version, "staging")

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_metrics_are_numbers(self, registry: ModelRegistry, value: float) -> None:
        with pytest.raises(ValueError, match=r"metrics are finite numbers by name, found 'loss': (nan|inf)"):
            registry.register("net", small(), SMALL, {"loss": value})
        assert registry.names() == []

    def test_a_model_that_is_too_large(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="at most 100 bytes is expected, found"):
            ModelRegistry(tmp_path, max_bytes=100).register("net", small(), SMALL)

    def test_damage_is_noticed_at_load(self, registry: ModelRegistry) -> None:
        with_versions(registry, 2)
        folder = registry.root / "net" / "versions"
        (folder / "000001" / "model.npz").write_bytes((folder / "000002" / "model.npz").read_bytes())
        with pytest.raises(ModelFileError, match=r"the SHA-256 digest .* is expected, found"):
            registry.load("net", 1)
        assert same(registry.load("net", 2), small(1), examples())

    def test_a_digest_kept_elsewhere(self, registry: ModelRegistry) -> None:
        digest = with_versions(registry, 2).version("net", 1).sha256
        assert same(registry.load("net", 1, sha256=digest.upper()), small(0), examples())
        with pytest.raises(ModelFileError, match=r"version 2 of 'net': SHA-256 digest .* is expected, found"):
            registry.load("net", 2, sha256=digest)

    def test_damaged_records(self, registry: ModelRegistry) -> None:
        with_versions(registry, 2)
        folder = registry.root / "net" / "versions"
        shutil.copy(folder / "000001" / "version.json", folder / "000002" / "version.json")
        with pytest.raises(RegistryError, match="version 2 of 'net' expected, found"):
            registry.load("net", 2)
        (folder / "000001" / "version.json").write_text('{"name": "net"}')
        with pytest.raises(RegistryError, match=r"fields \[.*\] are expected, found \['name'\]"):
            registry.version("net", 1)
        (folder / "000001" / "version.json").write_text("{")
        with pytest.raises(RegistryError, match=r"cannot be read: version.json: a JSON object is expected"):
            registry.versions("net")
        (folder / "000001" / "version.json").unlink()
        with pytest.raises(RegistryError, match="cannot be read"):
            registry.versions("net")

    def test_many_writers_at_once(self, registry: ModelRegistry) -> None:
        barrier = threading.Barrier(8)
        got: list[tuple[int, int]] = []

        def write(seed: int) -> None:
            barrier.wait()
            for _ in range(4):
                got.append((registry.register("net", small(seed), SMALL).version, seed))

        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(version for version, _ in got) == list(range(1, 33))
        for version, seed in got:
            assert same(registry.load("net", version), small(seed), examples())

    def test_a_writer_who_is_overtaken_takes_the_next_number(
        self, registry: ModelRegistry, monkeypatch: Any
    ) -> None:
        rename = os.rename

        def overtaken(source: Any, target: Any) -> None:
            monkeypatch.setattr(os, "rename", rename)
            registry.register("net", small(7), SMALL)
            rename(source, target)

        monkeypatch.setattr(os, "rename", overtaken)
        assert registry.register("net", small(8), SMALL).version == 2
        assert same(registry.load("net", 1), small(7), examples())
        assert same(registry.load("net", 2), small(8), examples())
        assert len(list((registry.root / "net" / "versions").iterdir())) == 2

    @pytest.mark.parametrize("function", ["fsync", "rename"])
    def test_a_failed_writer_leaves_nothing(
        self, registry: ModelRegistry, monkeypatch: Any, function: str
    ) -> None:
        with_versions(registry, 1)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, function, full)
            with pytest.raises(OSError, match="No space left"):
                registry.register("net", small(1), SMALL)
            with pytest.raises(OSError, match="No space left"):
                registry.promote("net", 1, "staging")
        assert registry.stages("net") == {1: "registered"}
        assert len(list((registry.root / "net" / "versions").iterdir())) == 1

    def test_what_a_killed_writer_leaves_is_not_seen(self, registry: ModelRegistry) -> None:
        with_versions(registry, 1)
        half = registry.root / "net" / "versions" / ".new-0123456789abcdef"
        half.mkdir()
        (half / "model.npz").write_bytes(b"PK\x03\x04 half of a model")
        assert [entry.version for entry in registry.versions("net")] == [1]
        assert registry.register("net", small(1), SMALL).version == 2

    def test_everything_is_on_disk_before_it_has_its_name(
        self, registry: ModelRegistry, monkeypatch: Any
    ) -> None:
        events: list[str] = []
        fsync, rename = os.fsync, os.rename
        monkeypatch.setattr(os, "fsync", lambda number: (events.append("fsync"), fsync(number)))
        monkeypatch.setattr(os, "rename", lambda a, b: (events.append("rename"), rename(a, b)))
        registry.register("net", small(), SMALL)
        assert events == ["fsync"] * 3 + ["rename", "fsync"]  # two files and their folder; the folder above


class TestStages:
    def test_the_way_to_production_and_back(self, registry: ModelRegistry) -> None:
        with_versions(registry, 3)
        assert registry.stages("net") == {1: "registered", 2: "registered", 3: "registered"}
        to_production(registry, 1, 2)
        registry.promote("net", 3, "staging", "to be tried")
        assert registry.stages("net") == {1: "archived", 2: "production", 3: "staging"}
        registry.promote("net", 3, "production")
        assert same(registry.load("net"), small(2), examples())
        change = registry.rollback("net", "slow")
        assert (change.action, change.version, change.stage, change.reason) == (
            "rollback",
            2,
            "production",
            "slow",
        )
        assert registry.stages("net") == {1: "archived", 2: "production", 3: "archived"}
        assert same(registry.load("net"), small(1), examples())
        registry.rollback("net")
        assert registry.stages("net") == {1: "production", 2: "archived", 3: "archived"}
        with pytest.raises(RegistryError, match=r"before the present one is expected for 'net', found \[1\]"):
            registry.rollback("net")
        assert [entry.reason for entry in registry.history("net")][4:] == ["to be tried", "", "slow", ""]
        assert ModelRegistry(registry.root).history("net") == registry.history("net")

    def test_a_version_that_comes_back(self, registry: ModelRegistry) -> None:
        with_versions(registry, 2)
        to_production(registry, 1, 2, 1)
        assert registry.stages("net") == {1: "production", 2: "archived"}
        registry.rollback("net")
        assert registry.stages("net") == {1: "archived", 2: "production"}

    def test_what_is_not_allowed(self, registry: ModelRegistry) -> None:
        with_versions(registry, 2)
        text = "version 1 of 'net' cannot go to {}: {} is expected, found {}"
        with pytest.raises(RegistryError, match=text.format("production", "staging", "registered")):
            registry.promote("net", 1, "production")
        with pytest.raises(ValueError, match="a stage is staging, production or archived, found 'live'"):
            registry.promote("net", 1, "live")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="found 'registered'"):
            registry.promote("net", 1, "registered")
        registry.promote("net", 1, "staging")
        with pytest.raises(RegistryError, match=r"cannot go to staging: .* found staging"):
            registry.promote("net", 1, "staging")
        registry.promote("net", 1, "archived")
        with pytest.raises(RegistryError, match=text.format("production", "staging", "archived")):
            registry.promote("net", 1, "production")
        to_production(registry, 1)
        for stage in ("staging", "archived", "production"):
            with pytest.raises(RegistryError, match=f"cannot go to {stage}: .* found production"):
                registry.promote("net", 1, stage)  # type: ignore[arg-type]
        assert registry.stages("net") == {1: "production", 2: "registered"}

    def test_loading_by_stage(self, registry: ModelRegistry) -> None:
        with_versions(registry, 3)
        with pytest.raises(RegistryError, match="no version of 'net' is in stage 'production'"):
            registry.load("net")
        registry.promote("net", 2, "staging")
        registry.promote("net", 1, "staging")
        assert same(registry.load("net", stage="staging"), small(1), examples())
        assert same(registry.load("net", stage="registered"), small(2), examples())

    def test_a_change_that_is_overtaken_is_decided_anew(
        self, registry: ModelRegistry, monkeypatch: Any
    ) -> None:
        with_versions(registry, 2)
        registry.promote("net", 1, "staging")
        rename = os.rename

        def overtaken(source: Any, target: Any) -> None:
            monkeypatch.setattr(os, "rename", rename)
            registry.promote("net", 1, "archived", "the other was faster")
            rename(source, target)

        monkeypatch.setattr(os, "rename", overtaken)
        with pytest.raises(RegistryError, match="staging is expected, found archived"):
            registry.promote("net", 1, "production")
        assert registry.stages("net")[1] == "archived"
        assert len(registry.history("net")) == 2

    def test_a_damaged_history(self, registry: ModelRegistry) -> None:
        with_versions(registry, 2)
        to_production(registry, 1, 2)
        registry.rollback("net")
        shutil.rmtree(registry.root / "net" / "stages" / "000004")
        with pytest.raises(RegistryError, match=r"000004.change.json cannot be read"):
            registry.stages("net")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"action": "x"}, "a sound record is expected, found action in"),
            ({"stage": "Production"}, "found stage in"),
            ({"stage": []}, "found stage in"),
            ({"stage": "registered"}, "found stage in"),
            ({"version": []}, "found version in"),
            ({"version": True}, "found version in"),
            ({"version": 0}, "found version in"),
            ({"reason": None}, "found reason in"),
            ({"created": 3}, "found created in"),
            ({"version": 1}, "the history of stages is damaged"),
            ({"version": 3}, "the history of stages is damaged"),
            ({"action": "rollback"}, "the history of stages is damaged"),
            ({"action": "rollback", "version": 1, "stage": "archived"}, "the history of stages is damaged"),
        ],
    )
    def test_a_damaged_change(self, registry: ModelRegistry, wrong: dict[str, Any], message: str) -> None:
        with_versions(registry, 3)
        to_production(registry, 1, 2)
        path = registry.root / "net" / "stages" / "000004" / "change.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
        for use in (registry.stages, registry.load, registry.rollback):
            with pytest.raises(RegistryError, match=message):
                use("net")

    def test_no_rollback_to_a_version_that_is_gone(self, registry: ModelRegistry) -> None:
        with_versions(registry, 2)
        to_production(registry, 1, 2)
        shutil.rmtree(registry.root / "net" / "versions" / "000001")
        with pytest.raises(RegistryError, match=r"no version 1 of 'net': the registry has \[2\]"):
            registry.rollback("net")
        assert registry.stages("net") == {2: "production"}

    @settings(REPEATABLE, max_examples=30)  # each writes a registry anew
    @given(
        st.lists(
            st.tuples(st.sampled_from(["staging", "production", "archived", "back"]), st.integers(1, 3)),
            min_size=3,
        )
    )
    def test_never_two_versions_in_production(
        self, tmp_path_factory: Any, steps: list[tuple[Any, int]]
    ) -> None:
        registry = with_versions(ModelRegistry(tmp_path_factory.mktemp("r")), 3)
        for stage, version in steps[:12]:
            before = registry.stages("net")
            try:
                registry.rollback("net") if stage == "back" else registry.promote("net", version, stage)
            except RegistryError:
                assert registry.stages("net") == before
            after = list(registry.stages("net").values())
            assert after.count("production") in ((1,) if "production" in before.values() else (0, 1))


class TestTails:
    # Reference values: scipy 1.17, special.kolmogorov and stats.chi2.sf.
    @pytest.mark.parametrize(
        ("value", "tail"),
        [
            (0.0, 1.0),
            (0.01, 1.0),
            (0.05, 1.0),
            (0.3, 0.9999906941986655),
            (0.5, 0.9639452436648751),
            (0.8276, 0.49995841656354456),
            (1.17, 0.12939004218561884),
            (1.19, 0.11774229287977166),
            (1.5, 0.022217962616525127),
            (3.0, 3.045995948942526e-08),
            (math.inf, 0.0),
        ],
    )
    def test_kolmogorov(self, value: float, tail: float) -> None:
        assert kolmogorov_tail(value) == pytest.approx(tail, rel=1e-12, abs=1e-300)

    @pytest.mark.parametrize(
        ("value", "degrees", "tail"),
        [
            (0.0, 3, 1.0),
            (0.5, 1, 0.47950012218695337),
            (3.0, 1, 0.08326451666355042),
            (0.1, 2, 0.951229424500714),
            (5.0, 2, 0.0820849986238988),
            (7.0, 3, 0.07189777249646509),
            (20.0, 9, 0.017912404529843298),
            (100.0, 100, 0.48119168452795674),
            (150.0, 60, 1.1612157500765441e-09),
            (0.001, 7, 0.9999999999997597),
            (800.0, 4, 7.679830082823363e-172),
            (math.inf, 4, 0.0),
        ],
    )
    def test_chi_squared(self, value: float, degrees: int, tail: float) -> None:
        assert chi_squared_tail(value, degrees) == pytest.approx(tail, rel=1e-11)

    def test_bad_arguments(self) -> None:
        for value in (-1.0, math.nan):
            with pytest.raises(ValueError, match=f"at least 0 is expected, found {value}"):
                kolmogorov_tail(value)
            with pytest.raises(
                ValueError, match=f"at least 0 with at least 1 degree is expected, found {value}"
            ):
                chi_squared_tail(value, 1)
        with pytest.raises(ValueError, match="at least 1 degree"):
            chi_squared_tail(1.0, 0)


BAD_SAMPLES: list[tuple[Any, str]] = [
    (np.zeros(0), r"shape \(examples,\) without empty axes is expected, found \(0,\)"),
    (np.zeros((2, 2)), r"is expected, found \(2, 2\)"),
    (np.array([1.0, np.nan, np.inf]), "finite values are expected, found 2 NaN or infinite of 3"),
    (np.array(["a"]), "numbers are expected, found dtype <U1"),
]


class TestSampleTests:
    def test_kolmogorov_smirnov_against_scipy(self) -> None:
        rng = np.random.default_rng(5)
        a, b = rng.normal(size=60).round(3), (rng.normal(size=45) * 1.3 + 0.2).round(3)
        found = kolmogorov_smirnov(a, b)
        assert found.statistic == pytest.approx(0.12777777777777777)  # scipy 1.17, stats.ks_2samp
        assert found.p_value == pytest.approx(0.7951782082436194)  # scipy 1.17, stats.kstwobign.sf
        assert found.p_value == pytest.approx(0.7547050070634825, abs=0.05)  # the exact one
        assert kolmogorov_smirnov(b, a) == found

    def test_distance_is_that_of_the_distribution_functions(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(20):
            a, b = rng.integers(0, 9, rng.integers(1, 30)), rng.integers(0, 9, rng.integers(1, 30))
            brute = max(abs((a <= x).mean() - (b <= x).mean()) for x in range(9))
            assert kolmogorov_smirnov(a, b).statistic == pytest.approx(brute)

    def test_extremes(self) -> None:
        apart = kolmogorov_smirnov(np.arange(50), np.arange(50) + 100)
        assert apart.statistic == 1.0
        assert apart.p_value == pytest.approx(2 * math.exp(-50))
        assert kolmogorov_smirnov(np.arange(50), Tensor(np.arange(50))) == type(apart)(0.0, 1.0)

    def test_chi_squared_against_scipy(self) -> None:
        found = chi_squared_homogeneity(np.array([[30, 14, 34, 45], [61, 22, 40, 12]]))
        assert found.statistic == pytest.approx(31.439842249769505)  # scipy 1.17, stats.chi2_contingency
        assert found.p_value == pytest.approx(6.867725379822906e-07)

    def test_rare_categories_are_put_together(self) -> None:
        table = np.array([[50, 40, 3, 1, 0, 6], [40, 50, 1, 4, 2, 3]])
        merged = np.array([[50, 40, 10], [40, 50, 10]])
        assert chi_squared_homogeneity(table) == chi_squared_homogeneity(merged, rare=0)
        assert chi_squared_homogeneity(table, rare=0).statistic > 4.0
        # 5 expected in the smaller sample is enough, a little less is not
        assert chi_squared_homogeneity(np.array([[90, 10], [95, 5]]), rare=7.5).statistic > 0.0
        alone = chi_squared_homogeneity(np.array([[3, 2], [1, 4]]))
        assert (alone.statistic, alone.p_value) == (0.0, 1.0)
        assert chi_squared_homogeneity(np.array([[30, 0], [20, 0]])).p_value == 1.0

    @pytest.mark.parametrize(
        "counts",
        [
            np.zeros((3, 2), int),
            np.zeros((2, 0), int),
            np.array([[1, 2], [0, 0]]),
            np.array([[1, -1], [1, 1]]),
        ],
    )
    def test_bad_counts(self, counts: Any) -> None:
        with pytest.raises(ValueError, match="expected, found"):
            chi_squared_homogeneity(counts)
        if counts.size:
            with pytest.raises(ValueError, match="expected, found"):
                stability_index(counts)

    def test_counts_are_whole(self) -> None:
        with pytest.raises(ValueError, match=r"ints of shape \(2, categories\) are expected, found float64"):
            chi_squared_homogeneity(np.ones((2, 2)))

    def test_category_counts(self) -> None:
        counts = category_counts(np.array([3, 1, 3]), np.array([7, 3, 7, 7]))
        assert counts.tolist() == [[1, 2, 0], [0, 1, 3]]

    def test_stability_index_is_the_formula(self) -> None:
        p, q = np.array([10.5, 20.5, 0.5]), np.array([5.5, 5.5, 30.5])
        p, q = p / p.sum(), q / q.sum()
        table = np.array([[10, 0, 20, 0], [5, 0, 5, 30]])
        assert stability_index(table) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
        assert stability_index(table[::-1]) == pytest.approx(stability_index(table))

    def test_chance_gives_the_expected_stability_index(self) -> None:
        rng = np.random.default_rng(1)
        found = [
            stability_index(binned_counts(rng.normal(size=1000), rng.normal(size=500))) for _ in range(200)
        ]
        assert np.mean(found) == pytest.approx(9 * (1 / 1000 + 1 / 500), rel=0.15)

    def test_bins_hold_equal_shares_and_have_no_end(self) -> None:
        counts = binned_counts(np.arange(100), np.array([-1e9, 0, 99, 1e9, 50]), bins=4)
        assert counts.tolist() == [[25, 25, 25, 25], [2, 0, 1, 2]]

    def test_few_values_have_bins_of_their_own(self) -> None:
        constant = binned_counts(np.full(30, 5.0), np.array([4.0, 5.0, 5.0, 6.0]))
        assert constant.tolist() == [[0, 30, 0], [1, 2, 1]]
        two = binned_counts(np.array([0, 1, 1]), np.array([0, 0.5, 1, 2]), bins=2)
        assert two.tolist() == [[0, 1, 0, 2, 0], [0, 1, 1, 1, 1]]
        with pytest.raises(ValueError, match="at least 2 bins are expected, found 1"):
            binned_counts(np.arange(9), np.arange(9), bins=1)

    @pytest.mark.parametrize(("sample", "text"), BAD_SAMPLES)
    @pytest.mark.parametrize("function", [kolmogorov_smirnov, binned_counts, category_counts])
    def test_bad_samples(self, function: Callable[..., Any], sample: Any, text: str) -> None:
        with pytest.raises(ValueError, match=f"reference: .*{text}"):
            function(sample, np.arange(5))
        with pytest.raises(ValueError, match=f"sample: .*{text}"):
            function(np.arange(5), sample)


class TestBenjaminiHochberg:
    def test_against_scipy(self) -> None:
        found = benjamini_hochberg([0.01, 0.04, 0.03, 0.005, 0.9, 0.2])
        np.testing.assert_allclose(
            found, [0.03, 0.06, 0.06, 0.03, 0.9, 0.24]
        )  # stats.false_discovery_control

    @REPEATABLE
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 0.999))
    def test_rejects_what_the_step_up_rule_rejects(self, values: list[float], alpha: float) -> None:
        ranked = sorted(values)
        passing = [p for i, p in enumerate(ranked, 1) if p * len(values) / i <= alpha]
        threshold = max(passing, default=-1.0)
        assert (benjamini_hochberg(values) <= alpha).tolist() == [p <= threshold for p in values]

    @pytest.mark.parametrize("values", [[], [0.5, 1.1], [-0.1], [math.nan], [[0.5]]])
    def test_bad_values(self, values: Any) -> None:
        with pytest.raises(ValueError, match="p-values from 0 to 1"):
            benjamini_hochberg(values)


def table(seed: int, count: int = 500, shift: float = 0.0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [
            rng.normal(shift, 1.0, count),
            rng.exponential(1.0, count),
            rng.choice(4, count, p=[0.4, 0.3, 0.2, 0.1]),
        ]
    )


class TestDriftDetector:
    def test_what_has_changed_is_named(self) -> None:
        detector = DriftDetector(table(0), categorical=[2], names=["size", "time", "kind"])
        calm = detector.check(Tensor(table(1)))
        assert calm.drifted == ()
        assert [feature.kind for feature in calm.features] == ["numeric", "numeric", "categorical"]
        report = detector.check(table(2, shift=0.8))
        assert report.drifted == ("size",)
        assert report.examples == 500
        other = table(3)
        other[:, 2] = 3 - other[:, 2]
        assert detector.check(other).drifted == ("kind",)
        text = str(detector.check(other)).splitlines()
        assert text[0] == "1 of 3 features drifted (500 examples)"
        assert text[1].split()[:2] == ["kind", "categorical"]
        assert text[1].endswith("drifted")
        assert not any(line.endswith("drifted") for line in text[2:])

    def test_the_numbers_are_those_of_the_tests(self) -> None:
        old, new = table(0), table(4, 300, 0.3)
        features = DriftDetector(old, categorical=(2,)).check(new).features
        ks = kolmogorov_smirnov(old[:, 1], new[:, 1])
        counts = category_counts(old[:, 2], new[:, 2])
        chi = chi_squared_homogeneity(counts)
        assert (features[1].name, features[1].statistic, features[1].p_value) == (
            "1",
            ks.statistic,
            ks.p_value,
        )
        assert (features[2].statistic, features[2].p_value) == (chi.statistic, chi.p_value)
        assert features[2].psi == stability_index(counts)
        assert features[0].psi == stability_index(binned_counts(old[:, 0], new[:, 0]))
        adjusted = benjamini_hochberg([feature.p_value for feature in features])
        assert [feature.adjusted_p for feature in features] == adjusted.tolist()

    def test_significant_and_large_are_both_needed(self) -> None:
        large = np.random.default_rng(0).normal(size=(20_000, 1))
        slight = DriftDetector(large).check(large[::-1] + 0.1).features[0]
        assert slight.adjusted_p < 1e-6
        assert not slight.drifted
        assert DriftDetector(large, min_psi=0.0).check(large + 0.1).drifted == ("0",)
        few = DriftDetector(large).check(np.random.default_rng(3).normal(size=(20, 1))).features[0]
        assert few.psi > 0.1
        assert not few.drifted

    def test_many_features_raise_few_false_alarms(self) -> None:
        rng = np.random.default_rng(0)
        detector = DriftDetector(rng.normal(size=(300, 100)), min_psi=0.0)
        report = detector.check(rng.normal(size=(300, 100)))
        assert sum(feature.p_value <= 0.05 for feature in report.features) > 0
        assert report.drifted == ()
        strict = DriftDetector(table(0), categorical=[2], alpha=1e-9, min_psi=0.0)
        assert strict.check(table(2, shift=0.3)).drifted == ()

    def test_the_reference_is_a_copy(self) -> None:
        reference = table(0)
        detector = DriftDetector(reference)
        before = detector.check(table(1))
        reference[:] = 0.0
        assert detector.check(table(1)) == before

    @pytest.mark.parametrize(
        ("batch", "text"),
        [
            (np.zeros((30, 2)), r"batch: shape \(examples, 3\) is expected, found \(30, 2\)"),
            (
                np.zeros(30),
                r"batch: shape \(examples, features\) without empty axes is expected, found \(30,\)",
            ),
            (np.full((30, 3), np.nan), "batch: finite values are expected, found 90 NaN or infinite of 90"),
            (np.zeros((19, 3)), "batch: at least 20 examples are expected, found 19"),
            (np.zeros((0, 3)), r"found \(0, 3\)"),
        ],
    )
    def test_bad_batches(self, batch: Any, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            DriftDetector(table(0)).check(batch)
        if batch.shape != (30, 2):
            with pytest.raises(ValueError, match=text.replace("batch", "reference")):
                DriftDetector(batch)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"categorical": [3]}, r"from 0 to 2 expected, found \[3\]"),
            ({"names": ["a", "b"]}, "3 different names are expected"),
            ({"names": ["a", "b", "a"]}, "3 different names are expected"),
            ({"alpha": 0.0}, "alpha between 0 and 1"),
            ({"alpha": 1.0}, "alpha between 0 and 1"),
            ({"min_psi": math.nan}, "min_psi of at least 0"),
            ({"min_examples": 0}, "min_examples of at least 1"),
        ],
    )
    def test_bad_settings(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            DriftDetector(table(0), **options)


class TestRunningMoments:
    @REPEATABLE
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
    def test_batches_give_what_numpy_gives(self, sizes: list[int], seed: int) -> None:
        parts = [np.random.default_rng(seed + i).normal(100.0, 3.0, (n, 2)) for i, n in enumerate(sizes)]
        moments, merged = RunningMoments((2,)), RunningMoments((2,))
        for part in parts:
            moments.add(Tensor(part))
            other = RunningMoments([2])
            for row in part:
                other.add(row)
            merged.merge(other)
        every = np.concatenate(parts)
        for found in (moments, merged):
            assert found.count == len(every)
            np.testing.assert_allclose(found.mean, every.mean(axis=0), rtol=1e-12)
            if len(every) > 1:
                np.testing.assert_allclose(found.variance, every.var(axis=0, ddof=1), rtol=1e-9)

    def test_numbers_far_from_zero(self) -> None:
        moments = RunningMoments()
        for value in (4.0, 7.0, 13.0, 16.0):
            moments.add(1e9 + value)
        assert (float(moments.mean), float(moments.variance)) == (1e9 + 10, 30.0)
        moments.add([])
        assert moments.count == 4

    def test_what_is_returned_is_a_copy(self) -> None:
        moments = RunningMoments((2,))
        moments.add([1.0, 2.0])
        moments.mean[:] = 9.0
        assert moments.mean.tolist() == [1.0, 2.0]

    @pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((1, 1, 2)), [np.nan, 0.0], [["a", "b"]], 1.0])
    def test_bad_examples_change_nothing(self, bad: Any) -> None:
        moments = RunningMoments((2,))
        moments.add([1.0, 2.0])
        with pytest.raises(ValueError, match="expected, found"):
            moments.add(bad)
        assert (moments.count, moments.mean.tolist()) == (1, [1.0, 2.0])

    def test_too_few_and_other_shapes(self) -> None:
        moments = RunningMoments()
        with pytest.raises(ValueError, match="at least 1 examples are expected, found 0"):
            _ = moments.mean
        moments.add(1.0)
        with pytest.raises(ValueError, match="at least 2 examples are expected, found 1"):
            _ = moments.variance
        with pytest.raises(ValueError, match=r"moments of shape \(\) are expected, found \(2,\)"):
            moments.merge(RunningMoments((2,)))
        moments.merge(RunningMoments())
        assert moments.count == 1


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TestMonitor:
    @pytest.mark.parametrize(
        ("count", "share", "expected"),
        [
            (1, 0.5, 1),
            (20, 0.95, 19),
            (21, 0.95, 20),
            (100, 0.99, 99),
            (4, 0.5, 2),
            (5, 0.5, 3),
            (3, 1.0, 3),
            (9, 1e-6, 1),
        ],
    )
    def test_nearest_rank(self, count: int, share: float, expected: float) -> None:
        assert nearest_rank(list(range(count, 0, -1)), share) == expected

    @pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1), ([1.0], math.nan)])
    def test_nearest_rank_of_nothing(self, values: list[float], share: float) -> None:
        with pytest.raises(ValueError, match="a share above 0 and at most 1 expected, found"):
            nearest_rank(values, share)

    def test_requests_are_measured_and_failures_pass(self) -> None:
        clock = Clock()
        monitor = ServiceMonitor(clock=clock)
        with monitor.request():
            clock.now += 0.25

        def failing() -> None:
            with monitor.request():
                clock.now += 1.0
                raise KeyError("the model's fault")

        with pytest.raises(KeyError, match="the model's fault"):
            failing()
        found = monitor.snapshot()
        assert (found.time, found.requests, found.error_rate) == (1.25, 2, 0.5)
        assert (found.p50, found.p95, found.p99) == (0.25, 1.0, 1.0)

    def test_the_window_slides(self) -> None:
        clock = Clock()
        monitor = ServiceMonitor(window=10.0, clock=clock)
        for second in range(5):
            clock.now = float(second)
            monitor.record(float(second), failed=second == 0)
        clock.now = 9.5
        assert monitor.snapshot().error_rate == 0.2
        clock.now = 10.0  # what ended 10 seconds ago is out
        assert (monitor.snapshot().requests, monitor.snapshot().error_rate) == (4, 0.0)
        clock.now = 13.5
        assert (monitor.snapshot().requests, monitor.snapshot().p50) == (1, 4.0)
        clock.now = 20.0
        empty = monitor.snapshot()
        assert (empty.requests, empty.error_rate, empty.p50, empty.p99) == (0, None, None, None)

    def test_capacity(self) -> None:
        monitor = ServiceMonitor(clock=Clock(), capacity=3)
        for latency in (5.0, 1.0, 2.0, 3.0):
            monitor.record(latency)
        assert monitor.snapshot().p99 == 3.0
        for _ in range(5):
            monitor.snapshot()
        assert len(monitor.snapshots) == 3

    def test_alerts(self) -> None:
        rules = [
            AlertRule("error_rate", 0.5),
            AlertRule("p95", 1.5, min_requests=3),
            AlertRule("requests", 3, "below"),
        ]
        monitor = ServiceMonitor(rules=rules, clock=Clock())
        assert monitor.snapshot().alerts == ("requests is 0, below 3",)
        monitor.record(2.0, failed=True)
        assert monitor.snapshot().alerts == ("error_rate is 1, above 0.5", "requests is 1, below 3")
        monitor.record(2.0)
        assert monitor.snapshot().alerts == ("requests is 2, below 3",)  # at the limit is not above it
        monitor.record(1.0)
        assert monitor.snapshot().alerts == ("p95 is 2, above 1.5",)

    @pytest.mark.parametrize(
        "arguments", [("p42", 1.0), ("p50", math.nan), ("p50", math.inf), ("p50", 1.0, "beside")]
    )
    def test_bad_rules(self, arguments: tuple[Any, ...]) -> None:
        with pytest.raises(ValueError, match="found"):
            AlertRule(*arguments)

    @pytest.mark.parametrize("latency", [-0.1, math.nan, math.inf])
    def test_bad_latencies(self, latency: float) -> None:
        monitor = ServiceMonitor(clock=Clock())
        with pytest.raises(ValueError, match=f"a finite number of at least 0 seconds, found {latency}"):
            monitor.record(latency)
        assert monitor.snapshot().requests == 0

    @pytest.mark.parametrize("options", [{"window": 0.0}, {"window": math.nan}, {"capacity": 0}])
    def test_bad_settings(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="a positive window and capacity are expected"):
            ServiceMonitor(**options)

    def test_export_as_json_lines(self, tmp_path: Path) -> None:
        clock, path = Clock(), tmp_path / "monitor.jsonl"
        monitor = ServiceMonitor(rules=[AlertRule("p50", 0.1)], clock=clock)
        monitor.snapshot()
        monitor.record(0.5)
        monitor.snapshot()
        assert monitor.export(path) == 2
        assert monitor.export(path) == 0
        clock.now = 7.0
        monitor.snapshot()
        assert monitor.export(path) == 1
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["time"] for line in lines] == [0.0, 0.0, 7.0]
        assert lines[0]["p50"] is None
        assert lines[1] == {
            "time": 0.0,
            "requests": 1,
            "error_rate": 0.0,
            "p50": 0.5,
            "p95": 0.5,
            "p99": 0.5,
            "alerts": ["p50 is 0.5, above 0.1"],
        }

    def test_snapshots_survive_a_failed_export(self, tmp_path: Path) -> None:
        monitor = ServiceMonitor(clock=Clock())
        monitor.snapshot()
        with pytest.raises(OSError, match="No such file"):
            monitor.export(tmp_path / "missing" / "monitor.jsonl")
        assert len(monitor.snapshots) == 1

    def test_an_exception_is_not_hidden_by_a_broken_clock(self) -> None:
        clock = Clock()
        monitor = ServiceMonitor(clock=clock)
        clock.now = 5.0

        def fail() -> None:
            clock.now = 3.0
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"), monitor.request():
            fail()
        with pytest.raises(ValueError, match=r"the clock went back from 5.0 to 3.0"), monitor.request():
            pass

    @pytest.mark.parametrize("shown", [math.nan, math.inf])
    def test_a_clock_that_shows_no_time(self, shown: float) -> None:
        monitor = ServiceMonitor(clock=lambda: shown)
        for use in (lambda: monitor.record(1.0), monitor.snapshot):
            with pytest.raises(ValueError, match=f"the clock must show a finite time, found {shown}"):
                use()
        assert len(monitor.snapshots) == 0

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"window": "60"}, "window must be a number, found '60'"),
            ({"capacity": 2.5}, r"capacity must be an int, found 2.5"),
            ({"rules": [3]}, "a rule must be an AlertRule, found 3"),
            ({"rules": "ab"}, "a collection is expected, found 'ab'"),
            ({"clock": None}, "clock must be a function without arguments, found None"),
        ],
    )
    def test_settings_of_another_type(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            ServiceMonitor(**options)

    def test_records_and_rules_of_another_type(self) -> None:
        monitor = ServiceMonitor(clock=Clock())
        with pytest.raises(TypeError, match="a latency must be a number, found None"):
            monitor.record(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="failed must be a bool, found 'no'"):
            monitor.record(1.0, "no")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="limit must be a number, found '5'"):
            AlertRule("p50", "5")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="min_requests must be at least 0, found -1"):
            AlertRule("p50", 1.0, min_requests=-1)
        with pytest.raises(ValueError, match="p50 must be a number to be compared, found NaN"):
            AlertRule("p50", 1.0).alert(1, math.nan)

    def test_ranks_of_numbers_only(self) -> None:
        for values in ([math.nan, 1.0], [None], ["3"], [[1.0, 2.0]]):
            with pytest.raises(ValueError, match="values: "):
                nearest_rank(values, 0.5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="share must be a number, found None"):
            nearest_rank([1.0], None)  # type: ignore[arg-type]


class TestHostileModelFiles:
    def test_what_is_no_mapping(self) -> None:
        with pytest.raises(TypeError, match="a configuration is a mapping, found list"):
            encode_model([], {})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a state is a mapping, found NoneType"):
            encode_model({}, None)  # type: ignore[arg-type]

    def test_what_a_file_cannot_hold(self) -> None:
        nested: list[Any] = []
        for _ in range(100_000):
            nested = [nested]
        with pytest.raises(ModelFileError, match="a configuration holds what JSON can hold"):
            encode_model({"deep": nested}, {})
        with pytest.raises(ModelFileError, match="at most 1000 characters expected, found 70000"):
            encode_model({}, {"x" * 70_000: np.zeros(1)})
        with pytest.raises(ModelFileError, match="a NumPy array is expected, found MaskedArray"):
            encode_model({}, {"w": np.ma.masked_array([1.0, 2.0], [False, True])})

    def test_bytes_of_any_kind_and_nothing_else(self) -> None:
        data = encode_model({"a": 1}, {})
        for same_bytes in (bytearray(data), memoryview(data)):
            assert decode_model(same_bytes) == ({"a": 1}, {})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="the bytes of a model file are expected, found str"):
            decode_model("PK")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b'{"format": 1, "config": {"a": 1e999}}', "found the number 1e999"),
            (b'{"format": 1, "config": {}, "more": 2}', r"found \['more'\] beside them"),
        ],
    )
    def test_facts_that_are_refused(self, text: bytes, message: str) -> None:
        with pytest.raises(ModelFileError, match=message):
            decode_model(archive([("model.json", text)]))

    @pytest.mark.parametrize("count", [-5, 1.5, True, None, "3", math.inf])
    def test_a_count_of_elements_is_a_count(self, count: Any) -> None:
        builders = {"x": ModelBuilder(small, lambda: count)}
        with pytest.raises(ModelFileError, match="builder 'x' must count elements as an int from 0, found"):
            build_model({"builder": "x"}, builders, max_elements=10)

    def test_a_builder_that_looks_up_what_a_file_says(self) -> None:
        builders = {"x": ModelBuilder(lambda kind: {"small": small}[kind]())}
        assert isinstance(build_model({"builder": "x", "kind": "small"}, builders), MLP)
        with pytest.raises(ModelFileError, match=r"builder 'x' does not take \['kind'\] as given: 'large'"):
            build_model({"builder": "x", "kind": "large"}, builders)

    def test_settings_of_another_type(self, tmp_path: Path) -> None:
        path = tmp_path / "net.npz"
        save_model(path, small(), SMALL)
        with pytest.raises(TypeError, match="builders must be a mapping from names, found NoneType"):
            build_model(SMALL, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="builder 'mlp' must be a ModelBuilder, found"):
            build_model(SMALL, {"mlp": MLP})  # type: ignore[dict-item]
        with pytest.raises(TypeError, match="max_elements must be an int, found nan"):
            build_model(SMALL, max_elements=math.nan)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="elements must be a function, found 3"):
            ModelBuilder(MLP, 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a SHA-256 digest is a str of 64 hexadecimal digits, found 3"):
            load_model(path, sha256=3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="max_bytes must be an int, found None"):
            load_model(path, max_bytes=None)  # type: ignore[arg-type]
        assert same(load_model(path, max_bytes=10**30), small(), examples())

    def test_an_example_that_compares_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "net.npz"
        with pytest.raises(
            ValueError, match=r"an example that is not empty is expected, found shape \(0, 4\)"
        ):
            save_model(path, small(), SMALL, example=examples(0))
        with pytest.raises(TypeError, match="a Tensor is expected as example, found ndarray"):
            save_model(path, small(), SMALL, example=examples().numpy())  # type: ignore[arg-type]
        with pytest.raises(ModelFileError, match="an example with finite predictions is expected"):
            save_model(path, small(), SMALL, example=Tensor(np.full((1, 4), np.nan, np.float32)))
        assert not path.exists()

    def test_an_example_for_a_model_of_two_answers(self, tmp_path: Path) -> None:
        class Twice(MLP):
            def forward(self, x: Tensor) -> Any:
                return super().forward(x), x

        builders = {"twice": ModelBuilder(lambda: Twice([4, 3]), lambda: 15)}
        with pytest.raises(TypeError, match="for a model that returns a Tensor is expected, found tuple"):
            save_model(tmp_path / "n", Twice([4, 3]), {"builder": "twice"}, builders, examples())


class TestHostileRegistry:
    @pytest.mark.parametrize("value", ["0.5", True, None, 1j, [1.0]])
    def test_metrics_are_numbers(self, registry: ModelRegistry, value: Any) -> None:
        with pytest.raises(TypeError, match="metric 'a' must be a number, found"):
            registry.register("net", small(), SMALL, {"a": value})
        with pytest.raises(TypeError, match="metrics are finite numbers by name, found"):
            registry.register("net", small(), SMALL, [("a", 1.0)])  # type: ignore[arg-type]
        assert registry.names() == []

    def test_metrics_of_numpy_and_of_tensors(self, registry: ModelRegistry) -> None:
        metrics: dict[str, Any] = {"a": np.float32(0.5), "b": np.array(2), "c": Tensor(0.25)}
        assert registry.register("net", small(), SMALL, metrics).metrics == {"a": 0.5, "b": 2.0, "c": 0.25}

    def test_texts_are_texts(self, registry: ModelRegistry) -> None:
        with pytest.raises(TypeError, match="notes must be a str, found None"):
            registry.register("net", small(), SMALL, notes=None)  # type: ignore[arg-type]
        with_versions(registry, 1)
        with pytest.raises(TypeError, match="reason must be a str, found 3"):
            registry.promote("net", 1, "staging", reason=3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="reason must be a str, found None"):
            registry.rollback("net", None)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"clock": 3}, "clock must be a function without arguments, found 3"),
            ({"builders": None}, "builders must be a mapping from names, found NoneType"),
            ({"max_bytes": "x"}, "max_bytes must be an int, found 'x'"),
        ],
    )
    def test_settings_of_another_type(self, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            ModelRegistry(tmp_path, **options)

    @pytest.mark.parametrize("shown", [math.nan, 1e300, None])
    def test_a_clock_that_shows_no_time(self, tmp_path: Path, shown: Any) -> None:
        with pytest.raises(ValueError, match="the clock must show the seconds since 1970, found"):
            ModelRegistry(tmp_path, clock=lambda: shown).register("net", small(), SMALL)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"sha256": "x"},
            {"size": "x"},
            {"size": -1},
            {"metrics": [1]},
            {"metrics": {"a": "x"}},
            {"notes": 3},
            {"created": None},
            {"version": True},
        ],
    )
    def test_a_damaged_record(self, registry: ModelRegistry, wrong: dict[str, Any]) -> None:
        with_versions(registry, 1)
        path = registry.root / "net" / "versions" / "000001" / "version.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
        with pytest.raises(RegistryError, match=f"a sound record is expected, found {next(iter(wrong))} in"):
            registry.load("net", 1)

    def test_a_model_file_that_is_gone(self, registry: ModelRegistry) -> None:
        with_versions(registry, 1)
        (registry.root / "net" / "versions" / "000001" / "model.npz").unlink()
        with pytest.raises(RegistryError, match=r"model.npz cannot be read"):
            registry.load("net", 1)
        with pytest.raises(TypeError, match="a SHA-256 digest is a str of 64 hexadecimal digits, found 3"):
            registry.load("net", 1, sha256=3)  # type: ignore[arg-type]

    def test_numbers_go_on_beyond_nine_digits(self, registry: ModelRegistry) -> None:
        folder = registry.root / "net" / "versions"
        for name in ("999999999", "00000011", "000000"):  # two of them are no version's name
            (folder / name).mkdir(parents=True)
        assert [registry.register("net", small(), SMALL).version for _ in range(2)] == [10**9, 10**9 + 1]


class TestHostileSamples:
    @pytest.mark.parametrize(
        "values",
        [
            [[1.0], [1.0, 2.0]],
            ["1", "2"],
            np.ma.masked_array([1.0, 2.0], [False, True]),
            np.array([1, 2], dtype="datetime64[s]"),
        ],
    )
    def test_what_are_no_numbers(self, values: Any) -> None:
        for test in (kolmogorov_smirnov, category_counts, binned_counts):
            with pytest.raises(ValueError, match=r"reference: .* (is|are) expected, found"):
                test(values, np.ones(2))
        with pytest.raises(ValueError, match=r"p-values: .* are expected, found"):
            benjamini_hochberg(values)

    def test_tails_of_numbers(self) -> None:
        assert kolmogorov_tail(10**400) == chi_squared_tail(10**400, 2) == 0.0
        with pytest.raises(TypeError, match="value must be a number, found 'a'"):
            kolmogorov_tail("a")  # type: ignore[arg-type]
        for degrees in (2.5, True, math.nan):
            with pytest.raises(TypeError, match="degrees must be an int, found"):
                chi_squared_tail(1.0, degrees)  # type: ignore[arg-type]

    def test_a_value_that_fills_more_than_a_bin(self) -> None:
        reference = np.concatenate([np.zeros(980), np.arange(1.0, 21.0)])
        sample = np.full(1000, 5.0)
        assert binned_counts(reference, sample).tolist() == [[0, 980, 20], [0, 0, 1000]]
        report = DriftDetector(reference[:, None]).check(sample[:, None])
        assert report.features[0].psi > 5.0
        assert report.drifted == ("0",)
        # The same with the heavy value at the top, and with two of them.
        assert binned_counts(-reference, -sample).tolist() == [[20, 980, 0], [1000, 0, 0]]
        two = np.repeat([0.0, 1.0, 2.0, 3.0], [480, 20, 480, 20])
        assert binned_counts(two, two, bins=3).tolist() == [[0, 480, 20, 480, 20]] * 2

    def test_categories_that_floats_cannot_tell_apart(self) -> None:
        with pytest.raises(ValueError, match=r"categories are numbers below 2\*\*53"):
            category_counts(np.array([2**53]), np.array([2**53 + 1]))
        table = np.full((30, 1), 2.0**60)
        with pytest.raises(ValueError, match=r"categories are numbers below 2\*\*53"):
            DriftDetector(table, categorical=[0])
        assert DriftDetector(table).check(table).drifted == ()  # as a number it may be large

    def test_counts_that_are_rare_empty_or_large(self) -> None:
        counts = np.array([[10, 0, 3], [10, 0, 4]])
        for rare in (0, 0.0, 1):
            assert chi_squared_homogeneity(counts, rare).p_value == pytest.approx(0.7447849, abs=1e-6)
        for rare in (-1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match="rare must be a finite number of at least 0"):
                chi_squared_homogeneity(counts, rare)
        large = chi_squared_homogeneity(np.full((2, 4), 2**62))
        assert (large.statistic, large.p_value) == (0.0, 1.0)
        for value in (math.inf, 1e308):
            with pytest.raises(ValueError, match="counts of at least 0 with sums above 0 are expected"):
                stability_index(np.array([[value, value], [1.0, 1.0]]))

    @pytest.mark.parametrize("bins", [2.5, None, True, math.inf])
    def test_bins_are_counted(self, bins: Any) -> None:
        with pytest.raises(TypeError, match="bins must be an int, found"):
            binned_counts(np.arange(30), np.arange(30), bins)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"alpha": "x"}, "alpha must be a number, found 'x'"),
            ({"min_psi": True}, "min_psi must be a number, found True"),
            ({"min_examples": 2.5}, r"min_examples must be an int, found 2.5"),
            ({"categorical": 0}, "a collection is expected, found 0"),
            ({"categorical": [True]}, "an index of a categorical feature must be an int, found True"),
            ({"names": "ab"}, "a collection is expected, found 'ab'"),
            ({"names": ["a", None]}, "a feature's name must be a str, found None"),
        ],
    )
    def test_settings_of_another_type(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            DriftDetector(np.random.default_rng(0).normal(size=(30, 2)), **options)


class TestHostileMoments:
    @pytest.mark.parametrize("examples", [[1e308, 1e308], 1e200, [-1e308, 1e308]])
    def test_numbers_that_overflow_are_not_added(self, examples: Any) -> None:
        moments = RunningMoments()
        moments.add([1.0, 3.0])
        with pytest.raises(ValueError, match="numbers whose squares a float can hold are expected"):
            moments.add(examples)
        assert (moments.count, float(moments.mean), float(moments.variance)) == (2, 2.0, 2.0)

    def test_shapes_and_other_moments(self) -> None:
        for shape in (3, None, "ab", (2.5,)):
            with pytest.raises(TypeError, match=r"(a collection is expected|must be an int), found"):
                RunningMoments(shape)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a length of the shape must be at least 0, found -1"):
            RunningMoments((-1,))
        with pytest.raises(TypeError, match="RunningMoments are expected, found int"):
            RunningMoments().merge(3)  # type: ignore[arg-type]

    def test_merged_with_themselves(self) -> None:
        moments = RunningMoments()
        moments.add([1.0, 2.0, 4.0])
        moments.merge(moments)
        assert moments.count == 6
        assert float(moments.variance) == pytest.approx(np.var([1.0, 2.0, 4.0] * 2, ddof=1))
