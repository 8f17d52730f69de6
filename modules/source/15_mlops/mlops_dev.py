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
# # Module 15: MLOps
#
# A model that has been trained is a file, and from then on it is *operated*: stored, shipped, put to work,
# watched, replaced, and now and then taken back in a hurry. Most of what goes wrong with machine learning in
# practice goes wrong here (Sculley et al., *Hidden Technical Debt in Machine Learning Systems*, NIPS 2015).
# Four questions, four parts:
#
# | question | answer in this module |
# |---|---|
# | May I open this file? | model files that hold numbers and never run code |
# | Which model is it, and which was before it? | a registry of immutable, numbered versions |
# | Are the inputs still those that it was trained for? | tests for drift |
# | Is it doing its work right now? | moments, latencies, error rates, alerts |
#
# Nothing here is specific to neural networks, except for one thing: they fail **in silence**. A program
# that gets input it was not made for usually crashes. A network returns ten probabilities, as always.

# %%
#| default_exp core.mlops

# %%
#| export
import hashlib
import io
import itertools
import json
import math
import os
import re
import secrets
import shutil
import struct
import time
import zipfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinytorch.core.activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import Tensor

_Array = npt.NDArray[Any]

# %% [markdown]
# ## 1. What is in a model file?
#
# The obvious way to store a Python object is `pickle`. A pickle is not data but a *program* for a small stack
# machine, and one of its instructions is "call this function". Whoever wrote the file chooses the function:


# %%
import pickle


class Payload:
    """What a hostile 'model' looks like: unpickling it calls a function of the author's choice."""

    def __reduce__(self):
        return (print, ("this ran while the file was being read",))


hostile = pickle.dumps(Payload())
pickle.loads(hostile)  # prints; it could as well have deleted your files

# %% [markdown]
# "Only load files that you trust" does not help: models are passed around like any download. So we want a
# format that *cannot* run anything, however the file was made. Two parts:
#
# - **Arrays**: an `.npz` archive, that is a zip file with one `.npy` member for each array. NumPy reads them
#   with `allow_pickle=False` (an array of Python objects would be pickled).
# - **Structure**: a *configuration* in JSON, stored as the member `model.json`. It does not hold classes but
#   names of *builders*, and the reader has a table that says what each name means. A name that is not in the
#   table is refused. Nothing is ever imported because a file says so.
#
# ```json
# {"builder": "sequential", "steps": [{"builder": "linear", "in_features": 4, "out_features": 8},
#                                     {"builder": "relu"}]}
# ```
#
# Running code is the worst that a file could do, but not the only thing. What else might a hostile or simply
# damaged file try, and what do we do about it?
#
# | attack or accident | defence |
# |---|---|
# | a pickle, a truncated file, garbage | recognised and refused before anything is parsed |
# | *zip bomb*: 10 MB that unpack to 10 GB | no compression; members together no larger than the file |
# | a header that announces $10^{15}$ elements | must agree with the real size, before memory is taken |
# | a member called `../../.bashrc` | names are parameter names, and nothing is unpacked to disk |
# | an object array | only a short list of numeric dtypes |
# | a *configuration* that asks for a layer of $10^{10}$ weights | not more elements than the file holds |
# | JSON nested a million levels deep | a limit on bytes and on depth |
# | the file is exchanged between check and use | it is read once, and only that copy is checked and used |
#
# Stored uncompressed? Trained weights look like noise and hardly shrink anyway, and what cannot be
# compressed cannot explode. (A cunning bomb lets members *overlap* in the archive: Fifield, *A better zip
# bomb*, WOOT 2019. That is why the sizes of all members are added up.)
#
# Equal models give equal bytes: the time stamps in the archive are fixed. So a digest of the file
# identifies the model.


# %%
#| export
class ModelFileError(ValueError):
    """A model file or its contents were refused. Nothing from the file was run."""


def _number(name: str, value: object) -> float:
    """Return `value` as a float if it is a number; one beyond the largest float is infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, found {value!r}")
    try:
        return float(value)
    except OverflowError:  # only whole numbers of Python have no largest one
        return math.inf if value > 0 else -math.inf


def _whole(name: str, value: object, least: int | None = None) -> int:
    """Return `value` as an int, of at least `least` if that is given."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, found {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, found {value}")
    return int(value)


_FILE_FORMAT = 1
_FACTS = "model.json"
_MAX_FACTS = 2**20  # bytes of JSON
_MAX_MEMBERS = 10_000
_MAX_DEPTH = 16
_MAX_NAME = 1000  # characters of an array's name; a zip file has room for 65,535 bytes
_STATE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_DTYPES = frozenset(
    ["|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"],
)
# Exactly what NumPy writes for a plain array. NumPy itself would evaluate the header as a Python literal.
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<dtype>[^']{1,40})', 'fortran_order': (True|False), "
    rb"'shape': \((?P<shape>|LENGTH,|LENGTH(, LENGTH){1,63})\), \} *\n".replace(
        b"LENGTH", rb"(0|[1-9][0-9]{0,17})"
    ),
    re.DOTALL,
)


def encode_model(config: Mapping[str, Any], state: Mapping[str, _Array]) -> bytes:
    """Return the bytes of a model file: a .npz archive that also holds a configuration as JSON.

    Args:
        config: What `build_model` makes the model of.
        state: Arrays by name, as `Layer.state_dict` gives them: booleans, ints, and floats up to 64 bits.

    Returns:
        The bytes; equal arguments give equal bytes.

    Raises:
        ModelFileError: If the configuration is not JSON or too long, or a name, a dtype or a value (NaN) is
            not allowed.
        TypeError: If the configuration or the state is no mapping.
    """
    for name, argument in (("configuration", config), ("state", state)):
        if not isinstance(argument, Mapping):
            raise TypeError(f"a {name} is a mapping, found {type(argument).__name__}")
    try:
        facts = json.dumps(
            {"format": _FILE_FORMAT, "config": config}, allow_nan=False, sort_keys=True
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:  # RecursionError: nested without end
        raise ModelFileError(f"a configuration holds what JSON can hold: {error}") from error
    if len(facts) > _MAX_FACTS:
        raise ModelFileError(f"a configuration of at most {_MAX_FACTS} bytes is expected, found {len(facts)}")
    if len(state) >= _MAX_MEMBERS:
        raise ModelFileError(f"fewer than {_MAX_MEMBERS} arrays are expected, found {len(state)}")
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [
            (_FACTS, facts),
            *((f"{name}.npy", _npy(name, a)) for name, a in state.items()),
        ]:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return target.getvalue()


def _npy(name: str, array: object) -> bytes:
    """Return one array of a state in NumPy's file format, after a check."""
    if not isinstance(name, str) or not _STATE_NAME.fullmatch(name):
        raise ModelFileError(f"array names look like 'layers.0.weight', found {name!r}")
    if len(name) > _MAX_NAME:
        raise ModelFileError(f"array names of at most {_MAX_NAME} characters expected, found {len(name)}")
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):  # a mask would be lost
        raise ModelFileError(f"{name}: a NumPy array is expected, found {type(array).__name__}")
    array = array.astype(array.dtype.newbyteorder("<"))
    _check_dtype(name, array.dtype.str)
    _check_no_nan(name, array)
    target = io.BytesIO()
    np.lib.format.write_array(target, array, version=(1, 0), allow_pickle=False)
    return target.getvalue()


def _check_dtype(name: str, dtype: str) -> None:
    """Raise unless a dtype is one of plain numbers."""
    if dtype not in _DTYPES:
        kind = " (Python objects, which only a pickle can hold)" if dtype.lstrip("|<>=") == "O" else ""
        raise ModelFileError(f"{name}: a dtype of {sorted(_DTYPES)} is expected, found {dtype!r}{kind}")


def _check_no_nan(name: str, array: _Array) -> None:
    """Raise if an array holds NaN."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ModelFileError(f"{name}: numbers are expected, found {int(np.isnan(array).sum())} NaN")


def decode_model(data: bytes) -> tuple[dict[str, Any], dict[str, _Array]]:
    """Read the bytes of a model file. Whatever the bytes are, none of them is run.

    Args:
        data: The bytes.

    Returns:
        Configuration and arrays by name, as they were given to `encode_model`. The configuration is not
        checked yet; `build_model` does that.

    Raises:
        ModelFileError: If these are not exactly the bytes of a model file.
        TypeError: If these are no bytes.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"the bytes of a model file are expected, found {type(data).__name__}")
    data = bytes(data)
    if not data.startswith(b"PK\x03\x04"):
        is_pickle = data[:1] == b"\x80"
        found = (
            "a pickle, which would run code when read" if is_pickle else f"{len(data)} bytes {data[:8]!r}..."
        )
        raise ModelFileError(f"a model file (.npz archive) is expected, found {found}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked_members(archive.infolist(), len(data))
            contents = {name: archive.read(member) for name, member in members.items()}
    except ModelFileError:
        raise
    except (  # all that zipfile raises for damaged archives
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        OverflowError,
        struct.error,
    ) as error:
        raise ModelFileError(f"the archive is damaged: {type(error).__name__}: {error}") from error
    config = _read_facts(contents.pop(_FACTS))
    state = {name.removesuffix(".npy"): _read_array(name, content) for name, content in contents.items()}
    return config, state


def _checked_members(infos: Sequence[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members of an archive of `size` bytes by name, or raise if one of them is odd."""
    if len(infos) > _MAX_MEMBERS:
        raise ModelFileError(f"at most {_MAX_MEMBERS} members are expected, found {len(infos)}")
    for info in infos:
        is_array = info.filename.endswith(".npy") and _STATE_NAME.fullmatch(
            info.filename.removesuffix(".npy")
        )
        if info.filename != _FACTS and not is_array:
            raise ModelFileError(
                f"members called {_FACTS} or 'NAME.npy' are expected, found {info.filename!r}"
            )
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ModelFileError(
                f"{info.filename}: an uncompressed member is expected, found a compressed one"
            )
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        raise ModelFileError("each member's name is expected once, found one twice")
    total = sum(info.file_size for info in infos)
    if total > size:
        raise ModelFileError(f"members of at most {size} bytes together are expected, found {total}")
    if _FACTS not in members or members[_FACTS].file_size > _MAX_FACTS:
        raise ModelFileError(f"a member {_FACTS} of at most {_MAX_FACTS} bytes is expected, found none")
    return members


def _read_facts(content: bytes) -> dict[str, Any]:
    """Return the configuration in the JSON member."""
    facts = _parsed_json(_FACTS, content)
    unknown = sorted(set(facts) - {"format", "config"})
    if unknown:
        raise ModelFileError(f"{_FACTS}: format and config are expected, found {unknown} beside them")
    if facts.get("format") != _FILE_FORMAT or not isinstance(facts.get("config"), dict):
        raise ModelFileError(
            f"{_FACTS}: format {_FILE_FORMAT} with a configuration is expected, found format "
            f"{facts.get('format')!r} with {type(facts.get('config')).__name__}"
        )
    return dict(facts["config"])


def _parsed_json(name: str, content: bytes) -> dict[str, Any]:
    """Return the JSON object that some bytes hold; NaN and infinite numbers are no JSON."""

    def refuse(constant: str) -> float:
        raise ValueError(f"the number {constant}")

    def finite(text: str) -> float:  # 1e999 is JSON, but Python reads it as infinite
        return float(text) if math.isfinite(float(text)) else refuse(text)

    try:
        facts = json.loads(content.decode("utf-8"), parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:  # RecursionError: lists in lists in lists ...
        raise ModelFileError(f"{name}: a JSON object is expected, found {error}") from error
    if not isinstance(facts, dict):
        raise ModelFileError(f"{name}: a JSON object is expected, found {type(facts).__name__}")
    return facts


def _read_array(name: str, content: bytes) -> _Array:
    """Return the array in a .npy member whose header says exactly what the content is."""
    header = _NPY_HEADER.match(content)
    if header is None or int.from_bytes(header["length"], "little") != header.end() - 10:
        raise ModelFileError(f"{name}: a .npy array is expected, found {content[:60]!r}...")
    dtype = header["dtype"].decode("latin-1")
    _check_dtype(name, dtype)
    lengths = [int(part) for part in header["shape"].split(b",") if part]
    announced = math.prod(lengths) * np.dtype(dtype).itemsize
    if announced != len(content) - header.end():
        found = len(content) - header.end()
        raise ModelFileError(f"{name}: {announced} bytes for shape {tuple(lengths)} expected, found {found}")
    try:
        array: _Array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{name}: {error}") from error
    _check_no_nan(name, array)
    return array


# %%
blob = encode_model({"builder": "relu"}, {"a.weight": np.arange(6.0).reshape(2, 3)})
assert blob == encode_model({"builder": "relu"}, {"a.weight": np.arange(6.0).reshape(2, 3)})
config, state = decode_model(blob)
assert config == {"builder": "relu"}
assert state["a.weight"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
with np.load(io.BytesIO(blob)) as archive:  # any program that reads .npz reads it
    assert archive["a.weight"].shape == (2, 3)


def refusal(function, *arguments, **options):
    """Return the message with which a call is refused."""
    try:
        function(*arguments, **options)
    except ValueError as error:
        return str(error)
    raise AssertionError("nothing was refused")


assert "found a pickle" in refusal(decode_model, hostile)
assert "is damaged" in refusal(decode_model, blob[:-30])
assert "found 1 NaN" in refusal(encode_model, {}, {"w": np.array([np.nan])})
assert "Python objects" in refusal(encode_model, {}, {"w": np.array([None])})

objects, bomb = io.BytesIO(), io.BytesIO()
np.savez(objects, weight=np.array([Payload()], dtype=object))
np.savez_compressed(bomb, weight=np.zeros(10**6))
assert len(bomb.getvalue()) < 20_000  # eight million bytes in less than twenty thousand
assert "found a compressed one" in refusal(decode_model, bomb.getvalue())
assert "is expected" in refusal(decode_model, objects.getvalue())

# %% [markdown]
# ### From a configuration to a model
#
# The table of builders maps a name to a `ModelBuilder`, which has two parts. `build` makes the layer.
# `elements` says from the same arguments **how many numbers the layer will hold, without making it**, so
# that a configuration of fifty bytes cannot ask for forty gigabytes: the sum over the whole configuration
# must not exceed what the arrays in the file add up to. (Whoever promises a matrix has to deliver it.)
#
#     mlp, sizes [4, 8, 3]:   4*8 + 8  +  8*3 + 3  =  67 numbers
#
# The standard table knows the layers of this course that make chains. For a model of your own, pass a table
# of your own:
#
# ```python
# builders = {**STANDARD_BUILDERS, "my-net": ModelBuilder(MyNet, lambda width: 2 * width * width)}
# ```
#
# Values that are configurations themselves (objects with the key `builder`) are built first, so a
# `sequential` may hold a `sequential`.


# %%
#| export
def _no_elements(**arguments: Any) -> int:
    """Return 0: for layers without parameters and buffers."""
    return 0


@dataclass(frozen=True)
class ModelBuilder:
    """What a name in a configuration stands for.

    Attributes:
        build: Makes the layer (or activation) of the arguments in the configuration, passed by name.
        elements: Says for the same arguments how many numbers the layer's own parameters and buffers hold,
            without making them; those of layers among the arguments count by themselves.

    Raises:
        TypeError: If one of them cannot be called.
    """

    build: Callable[..., Any]
    elements: Callable[..., int] = _no_elements

    def __post_init__(self) -> None:
        for name in ("build", "elements"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function, found {getattr(self, name)!r}")


def _lengths(value: Any) -> list[int]:
    """Return a length or a list of lengths as a list, or raise if one is no positive int."""
    lengths = value if isinstance(value, list) else [value]
    for length in lengths:
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(f"lengths are positive ints, found {length!r}")
    return lengths


def _linear_elements(in_features: int, out_features: int, bias: bool = True, **_: Any) -> int:
    inputs, outputs = _lengths([in_features, out_features])
    return (inputs + bool(bias)) * outputs


def _mlp_elements(sizes: list[int], bias: bool = True, **_: Any) -> int:
    widths = _lengths(sizes)
    return sum((a + bool(bias)) * b for a, b in itertools.pairwise(widths))


def _conv_elements(in_channels: int, out_channels: int, kernel_size: Any, bias: bool = True, **_: Any) -> int:
    inputs, outputs = _lengths([in_channels, out_channels])
    kernel = _lengths(kernel_size)
    area = kernel[0] ** 2 if len(kernel) == 1 else math.prod(kernel)
    return (inputs * area + bool(bias)) * outputs


def _batch_norm_elements(channels: int, affine: bool = True, **_: Any) -> int:
    return _lengths([channels])[0] * (4 if affine else 2)


def _layer_norm_elements(normalized_shape: Any, affine: bool = True, **_: Any) -> int:
    return 2 * math.prod(_lengths(normalized_shape)) if affine else 0


def _sequential(steps: list[Any]) -> Sequential:
    return Sequential(*steps)


STANDARD_BUILDERS: Mapping[str, ModelBuilder] = MappingProxyType(
    {
        "sequential": ModelBuilder(_sequential),
        "linear": ModelBuilder(Linear, _linear_elements),
        "mlp": ModelBuilder(MLP, _mlp_elements),
        "conv2d": ModelBuilder(Conv2D, _conv_elements),
        "batch_norm2d": ModelBuilder(BatchNorm2D, _batch_norm_elements),
        "layer_norm": ModelBuilder(LayerNorm, _layer_norm_elements),
        "max_pool2d": ModelBuilder(MaxPool2D),
        "avg_pool2d": ModelBuilder(AvgPool2D),
        "flatten": ModelBuilder(Flatten),
        "dropout": ModelBuilder(Dropout),
        "relu": ModelBuilder(ReLU),
        "leaky_relu": ModelBuilder(LeakyReLU),
        "gelu": ModelBuilder(GELU),
        "sigmoid": ModelBuilder(Sigmoid),
        "tanh": ModelBuilder(Tanh),
        "softmax": ModelBuilder(Softmax),
        "log_softmax": ModelBuilder(LogSoftmax),
    }
)


def build_model(
    config: Mapping[str, Any],
    builders: Mapping[str, ModelBuilder] = STANDARD_BUILDERS,
    max_elements: int = 2**28,
) -> Layer:
    """Make a model of a configuration, by nothing but the builders in a table.

    Args:
        config: The key "builder" with a name from the table, and the builder's arguments by name. Arguments,
            and elements of lists among them, may be configurations themselves.
        builders: What each name means.
        max_elements: How many numbers the model's parameters and buffers may hold; checked beforehand.

    Raises:
        ModelFileError: If a builder is unknown, arguments do not suit it, the configuration is nested too
            deeply, the model would be too large, or the result is no layer.
        TypeError: If `builders` is no mapping to `ModelBuilder`, or `max_elements` no int.
        ValueError: If `max_elements` is negative.
    """
    _check_builders(builders)
    _whole("max_elements", max_elements, 0)
    announced = _announced_elements(config, builders, 0)
    if announced > max_elements:
        raise ModelFileError(f"a model of at most {max_elements} numbers is expected, found {announced}")
    model = _built(config, builders)
    if not isinstance(model, Layer):
        raise ModelFileError(f"a configuration of a Layer is expected, found one of {type(model).__name__}")
    return model


def _check_builders(builders: object) -> None:
    """Raise a TypeError unless this is a table of builders."""
    if not isinstance(builders, Mapping):
        raise TypeError(f"builders must be a mapping from names, found {type(builders).__name__}")
    for name, builder in builders.items():
        if not isinstance(builder, ModelBuilder):
            raise TypeError(f"builder {name!r} must be a ModelBuilder, found {builder!r}")


def _announced_elements(value: Any, builders: Mapping[str, ModelBuilder], depth: int) -> int:
    """Return how many numbers the layers below a value of a configuration will hold; make nothing."""
    if depth > _MAX_DEPTH:
        raise ModelFileError(
            f"a configuration at most {_MAX_DEPTH} levels deep is expected, found a deeper one"
        )
    if isinstance(value, list):
        return sum(_announced_elements(element, builders, depth + 1) for element in value)
    if not isinstance(value, Mapping):
        return 0
    name, arguments = _parted(value, builders)
    below = sum(_announced_elements(argument, builders, depth + 1) for argument in arguments.values())
    elements = _called(name, builders[name].elements, arguments)
    if isinstance(elements, bool) or not isinstance(elements, (int, np.integer)) or elements < 0:
        raise ModelFileError(f"builder {name!r} must count elements as an int from 0, found {elements!r}")
    return below + int(elements)


def _parted(config: Mapping[str, Any], builders: Mapping[str, ModelBuilder]) -> tuple[str, dict[str, Any]]:
    """Return the builder's name and the arguments of a configuration."""
    name = config.get("builder")
    if not isinstance(name, str) or name not in builders:
        raise ModelFileError(f"a builder of {sorted(builders)} is expected, found {name!r}")
    return name, {str(key): value for key, value in config.items() if key != "builder"}


def _built(value: Any, builders: Mapping[str, ModelBuilder]) -> Any:
    """Return a value of a configuration with all configurations in it built, innermost first."""
    if isinstance(value, list):
        return [_built(element, builders) for element in value]
    if not isinstance(value, Mapping):
        return value
    name, arguments = _parted(value, builders)
    made = {key: _built(argument, builders) for key, argument in arguments.items()}
    return _called(name, builders[name].build, made)


def _called(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return what a function of a builder returns for arguments from a file, which may be anything."""
    try:
        return function(**arguments)
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise ModelFileError(
            f"builder {name!r} does not take {sorted(arguments)} as given: {error}"
        ) from error


# %%
chain = build_model(
    {
        "builder": "sequential",
        "steps": [
            {"builder": "mlp", "sizes": [4, 8, 3], "activation": {"builder": "tanh"}, "rng": 0},
            {"builder": "softmax"},
        ],
    }
)
assert repr(chain) == "Sequential(MLP(4, 8, 3), Softmax(axis=-1))"
assert _mlp_elements([4, 8, 3]) == 67
assert "'os.system'" in refusal(build_model, {"builder": "os.system", "command": "ls"})
assert "found 10000100000" in refusal(build_model, {"builder": "mlp", "sizes": [10**5, 10**5]})
deep = []
for _ in range(50):
    deep = [deep]
assert "at most 16 levels" in refusal(build_model, {"builder": "sequential", "steps": deep})

# %% [markdown]
# ### Saving and loading
#
# Two habits. **A file that cannot be loaded again is noticed when it is saved**, not months later:
# `save_model` builds the configuration and compares names, shapes and dtypes with the model. That does not
# notice a configuration that says *relu* where the model has *tanh*, since activations have no weights. So
# pass an example input, and the predictions are compared, too.
#
# **A file appears whole or not at all**: it is written under a temporary name in the same folder, forced to
# the disk with `fsync`, and renamed, which replaces the old file in one step (as for the checkpoints of
# module 11).
#
# `load_model` reads the file **once** into memory and works on that copy. To check a file's digest and then
# open it again would leave a moment in which somebody may exchange it.


# %%
#| export
def _write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and force it to the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace_file(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, in place of an old one if there is one."""
    temporary = path.with_name(f".new-{secrets.token_hex(8)}")
    try:
        _write_bytes(temporary, data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _rebuilt(
    config: Mapping[str, Any], state: Mapping[str, _Array], builders: Mapping[str, ModelBuilder]
) -> Layer:
    """Return the model of a configuration and a state that agree in every name, shape and dtype; in use."""
    model = build_model(config, builders, sum(array.size for array in state.values()))
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ModelFileError(str(error)) from error
    for name, array in model.state_dict().items():
        if array.dtype != state[name].dtype:  # a narrower dtype would round the numbers in silence
            raise ModelFileError(f"{name}: dtype {array.dtype} expected, found {state[name].dtype}")
    return model.eval()


def _encoded(
    model: Layer, config: Mapping[str, Any], builders: Mapping[str, ModelBuilder], example: Tensor | None
) -> bytes:
    """Return the bytes of a model's file after trying that it can be read again."""
    if not isinstance(model, Layer):
        raise TypeError(f"a Layer is expected as model, found {type(model).__name__}")
    if example is not None and not isinstance(example, Tensor):
        raise TypeError(f"a Tensor is expected as example, found {type(example).__name__}")
    if example is not None and not example.size:
        raise ValueError(f"an example that is not empty is expected, found shape {example.shape}")
    data = encode_model(config, model.state_dict())
    twin = _rebuilt(*decode_model(data), builders)
    if example is not None:
        modes = {layer: layer.training for _, layer in model.named_layers()}
        try:
            answers = model.eval()(example), twin(example)
        finally:
            for layer, mode in modes.items():
                layer.training = mode
        for answer in answers:
            if not isinstance(answer, Tensor):
                raise TypeError(
                    f"an example for a model that returns a Tensor is expected, found {type(answer).__name__}"
                )
        expected, found = (answer.numpy() for answer in answers)
        if not np.isfinite(expected).all():
            raise ModelFileError("an example with finite predictions is expected, found NaN or infinite ones")
        if expected.shape != found.shape or not np.allclose(expected, found, rtol=1e-4, atol=1e-6):
            raise ModelFileError(
                "the configuration builds a model that predicts something else: look at activations and "
                "other settings that have no weights"
            )
    return data


def save_model(
    path: str | os.PathLike[str],
    model: Layer,
    config: Mapping[str, Any],
    builders: Mapping[str, ModelBuilder] = STANDARD_BUILDERS,
    example: Tensor | None = None,
) -> str:
    """Write a model into a file that never runs code; atomically, and only if it can be loaded again.

    Args:
        path: The file, conventionally *.npz; an existing one is replaced.
        model: Whose parameters and buffers are saved.
        config: What `build_model` makes the same model of.
        builders: What the names in the configuration mean.
        example: An input. If given, the model and one built of the configuration must agree on it.

    Returns:
        The file's SHA-256 digest, 64 hexadecimal digits.

    Raises:
        TypeError: If `model` is no Layer, `config` no mapping, or `example` or a prediction no Tensor.
        ValueError: If the example is empty, or the model refuses it.
        ModelFileError: If the configuration does not describe this model, a value is NaN, or a prediction
            for the example is not finite.
        OSError: If the file cannot be written.
    """
    data = _encoded(model, config, builders, example)
    _replace_file(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def load_model(
    path: str | os.PathLike[str],
    builders: Mapping[str, ModelBuilder] = STANDARD_BUILDERS,
    sha256: str | None = None,
    max_bytes: int = 2**30,
) -> Layer:
    """Read a model from a file. Whatever the file holds, none of it is run.

    Args:
        path: A file from `save_model`.
        builders: What the names in the file's configuration mean; names beyond these are refused.
        sha256: The digest that the file must have, 64 hexadecimal digits; None for any.
        max_bytes: The size from which a file is refused unread.

    Returns:
        The model, switched to use (`eval`); it predicts bit for bit what the saved one did.

    Raises:
        ModelFileError: If the file is too large, has another digest, or is no model file.
        OSError: If the file cannot be read.
        TypeError: If `sha256` is no str, or `max_bytes` no int.
        ValueError: If `max_bytes` is negative.
    """
    return _rebuilt(*decode_model(_checked_bytes(Path(path), sha256, max_bytes)), builders)


def _check_digest(sha256: object) -> None:
    """Raise a TypeError unless this is a digest's text, or None."""
    if sha256 is not None and not isinstance(sha256, str):
        raise TypeError(f"a SHA-256 digest is a str of 64 hexadecimal digits, found {sha256!r}")


def _checked_bytes(path: Path, sha256: str | None, max_bytes: int) -> bytes:
    """Return a file's bytes if they are not too many and have the expected digest."""
    _check_digest(sha256)
    _whole("max_bytes", max_bytes, 0)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > max_bytes else file.read(size + 1)  # one more, if it grows meanwhile
    if max(size, len(data)) > max_bytes:
        raise ModelFileError(f"{path}: at most {max_bytes} bytes are expected, found more")
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise ModelFileError(f"{path}: the SHA-256 digest {sha256} is expected, found {found}")
    return data


# %%
import tempfile

plan = {"builder": "mlp", "sizes": [4, 8, 3], "activation": {"builder": "tanh"}}
net = MLP([4, 8, 3], activation=Tanh(), rng=0)
x = Tensor(np.random.default_rng(1).standard_normal((5, 4)), dtype=np.float32)
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "net.npz"
    digest = save_model(file, net, plan, example=x)
    assert np.array_equal(load_model(file, sha256=digest)(x).numpy(), net(x).numpy())
    assert "predicts something else" in refusal(
        save_model, file, net, {"builder": "mlp", "sizes": [4, 8, 3]}, example=x
    )
    assert "shape (4, 7) expected" in refusal(save_model, file, net, {**plan, "sizes": [4, 7, 3]})
    damaged = bytearray(file.read_bytes())
    damaged[-200] ^= 1
    file.write_bytes(damaged)
    assert "SHA-256 digest" in refusal(load_model, file, sha256=digest)

# %% [markdown]
# ## 2. The registry
#
# "The model" is a dangerous expression. Which one? The one from Tuesday, before or after the data were
# corrected? A *registry* gives every model that might be used a name and a number, and never changes it
# again:
#
# ```text
#   registry/
#       digits/
#           versions/000001/model.npz         the model file of part 1
#           versions/000001/version.json      digest, metrics, notes, time
#           versions/000002/...
#           stages/000001/change.json         "version 1 to staging"
#           stages/000002/change.json         "version 1 to production"
# ```
#
# **Immutable.** There is no method that changes or deletes a version. What has been measured of version 7 is
# true of version 7 for ever. The SHA-256 digest in `version.json` is checked at every load. It notices damage
# and mix-ups. It does not stop somebody who can write to the folder, since he can write a new digest as well;
# for that, keep the digest elsewhere and pass it to `load`.
#
# **Numbered without a lock.** Two trainings finish at the same moment, and both want to be version 8. A
# lock file would help until its holder crashes. Instead, each writes a complete folder under a temporary
# name and then *renames* it to `000008`. Renaming is atomic, and a folder that is not empty is never
# overwritten by it (POSIX, `rename`: ENOTEMPTY or EEXIST), so exactly one of the two succeeds; the other
# tries `000009`. At any moment a version is there as a whole or not at all, so a crash leaves at worst a
# folder whose name begins with a dot, which nobody looks at.
#
# **Names** are checked before they become paths: `../../home` is not the name of a model, and neither is a
# symbolic link that leads elsewhere.
#
# ### Stages
#
# | stage | meaning |
# |---|---|
# | `registered` | is there |
# | `staging` | being tried out |
# | `production` | at work; at most one version |
# | `archived` | was at work, or was given up |
#
# Nothing gets to production that was not in staging. A new version in production archives the one before
# it, and **rollback** brings that one back. "The one before it" needs a memory, so we do not store *stages*
# but **changes**, each in a numbered folder like the versions, and compute the stages by replaying them
# (*event sourcing*). Two people who promote at the same moment compete for the next number; the loser looks
# at the new situation and decides again.
#
#     change           stages after it                     line of production
#     1 to staging     1: staging
#     1 to production  1: production                       [1]
#     2 to staging     1: production, 2: staging           [1]
#     2 to production  1: archived, 2: production          [1, 2]
#     rollback         1: production, 2: archived          [1]


# %%
#| export
class RegistryError(ValueError):
    """A registry does not hold what was asked for, or does not allow what was wanted."""


_Stage = Literal["registered", "staging", "production", "archived"]
_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBER = re.compile(r"[0-9]{6}|[1-9][0-9]{6,17}")  # exactly what f"{number:06d}" writes
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelVersion:
    """What a registry knows about a version of a model.

    Attributes:
        name: The model's name.
        version: The version's number, from 1.
        sha256: Digest of the model file, 64 hexadecimal digits.
        size: Bytes of the model file.
        metrics: Measured numbers by name, such as the accuracy on test data.
        notes: A text for people.
        created: UTC time in ISO 8601.
    """

    name: str
    version: int
    sha256: str
    size: int
    metrics: Mapping[str, float]
    notes: str
    created: str


@dataclass(frozen=True)
class StageChange:
    """One entry in the history of a model's stages.

    Attributes:
        action: "promote" or "rollback".
        version: The version that was given a stage.
        stage: The stage that it was given.
        reason: A text for people.
        created: UTC time in ISO 8601.
    """

    action: Literal["promote", "rollback"]
    version: int
    stage: _Stage
    reason: str
    created: str


def _numbers(folder: Path) -> list[int]:
    """Return the numbers of the complete entries in a folder, ascending."""
    if not folder.is_dir():
        return []
    found = (int(entry.name) for entry in folder.iterdir() if _NUMBER.fullmatch(entry.name))
    return sorted(number for number in found if number)  # they are counted from 1


def _sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk, where the system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _claim(folder: Path, number: int, files: Mapping[str, bytes]) -> bool:
    """Make the entry `number` with all its files in one step; return False if somebody was faster."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".new-{secrets.token_hex(8)}"
    temporary.mkdir()
    target = folder / f"{number:06d}"
    try:
        for name, data in files.items():
            _write_bytes(temporary / name, data)
        _sync_folder(temporary)
        os.rename(temporary, target)
    except OSError:
        if target.exists():
            return False
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # it is gone if all went well
    _sync_folder(folder)
    return True


def _entry(path: Path, kind: type[Any]) -> dict[str, Any]:
    """Return the fields of a `kind` of record that a JSON file holds."""
    try:
        facts = _parsed_json(path.name, path.read_bytes())
    except (OSError, ModelFileError) as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
    expected = set(kind.__dataclass_fields__)
    if set(facts) != expected:
        raise RegistryError(f"{path}: the fields {sorted(expected)} are expected, found {sorted(facts)}")
    return facts


def _checked_record(path: Path, record: Any, **allowed: Callable[[Any], bool]) -> Any:
    """Return a record from a file after a check of its fields; texts are checked without being asked for."""
    tests = {"created": _is_text, **allowed}
    wrong = [name for name, test in tests.items() if not test(getattr(record, name))]
    if wrong:
        raise RegistryError(f"{path}: a sound record is expected, found {wrong[0]} in {record}")
    return record


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _are_metrics(value: object) -> bool:
    return isinstance(value, dict) and all(type(number) in (int, float) for number in value.values())


def _may_go(found: _Stage, stage: _Stage) -> bool:
    """Return whether a version in stage `found` can be promoted to `stage`."""
    return found not in (stage, "production") and (stage != "production" or found == "staging")


def _replayed(changes: Iterable[StageChange]) -> tuple[dict[int, _Stage], list[int]]:
    """Return the stages by version after all changes, and the line of versions in production."""
    stages: dict[int, _Stage] = {}
    line: list[int] = []
    for change in changes:
        possible = (
            line[-2:-1] == [change.version] and change.stage == "production"
            if change.action == "rollback"
            else _may_go(stages.get(change.version, "registered"), change.stage)
        )
        if not possible:
            raise RegistryError(f"the history of stages is damaged: {change} after the line {line}")
        if change.stage == "production" and line:
            stages[line[-1]] = "archived"
        if change.action == "rollback":
            line.pop()
        elif change.stage == "production":
            line.append(change.version)
        stages[change.version] = change.stage
    return stages, line


def _checked_metrics(metrics: Mapping[str, float] | None) -> dict[str, float]:
    """Return metrics as finite floats by name."""
    result: dict[str, float] = {}
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics are finite numbers by name, found {metrics!r}")
    for name, value in (metrics or {}).items():
        if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
            value = value.item()
        number = _number(f"metric {name!r}", value)
        if not isinstance(name, str) or not math.isfinite(number):
            raise ValueError(f"metrics are finite numbers by name, found {name!r}: {value}")
        result[name] = number
    return result


def _checked_text(name: str, text: object) -> str:
    """Return a text for people."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, found {text!r}")
    return text


class ModelRegistry:
    """Models in immutable, numbered versions in a folder, with stages; safe for several writers at once.

    Args:
        root: The folder; it is made when the first model is registered.
        builders: What the names in configurations mean; see `build_model`.
        clock: Returns the time in seconds since 1970.
        max_bytes: The size from which a model file is refused.

    Raises:
        TypeError: If `root` is no path, `builders` no mapping to `ModelBuilder`, `clock` cannot be called,
            or `max_bytes` is no int.
        ValueError: If `max_bytes` is negative.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        builders: Mapping[str, ModelBuilder] = STANDARD_BUILDERS,
        clock: Callable[[], float] = time.time,
        max_bytes: int = 2**30,
    ) -> None:
        _check_builders(builders)
        if not callable(clock):
            raise TypeError(f"clock must be a function without arguments, found {clock!r}")
        self.root = Path(root)
        self.builders = builders
        self.clock = clock
        self.max_bytes = _whole("max_bytes", max_bytes, 0)

    def register(
        self,
        name: str,
        model: Layer,
        config: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        notes: str = "",
        example: Tensor | None = None,
    ) -> ModelVersion:
        """Store a model as the next version of a name.

        Args:
            name: 1 to 64 of the characters a-z, 0-9, - and _; the first is a letter or digit.
            model: The model.
            config: What `build_model` makes the same model of.
            metrics: Finite numbers by name.
            notes: A text for people.
            example: An input on which the model and its configuration are compared; see `save_model`.

        Returns:
            The new version.

        Raises:
            TypeError: If `model` is no Layer, a metric no number, `notes` no str, or another argument not as
                for `save_model`.
            ValueError: If a name, metric or example is not allowed, the configuration does not describe the
                model, or the clock does not show the seconds since 1970.
            OSError: If the files cannot be written. Then there is no new version.
        """
        folder = self._folder(name) / "versions"
        _checked_text("notes", notes)
        data = _encoded(model, config, self.builders, example)
        if len(data) > self.max_bytes:
            raise ModelFileError(f"a model of at most {self.max_bytes} bytes is expected, found {len(data)}")
        digest, measured = hashlib.sha256(data).hexdigest(), _checked_metrics(metrics)
        while True:  # every turn but the last means that another writer has got a number
            number = max(_numbers(folder), default=0) + 1
            entry = ModelVersion(name, number, digest, len(data), measured, notes, self._now())
            if _claim(folder, number, {"model.npz": data, "version.json": _json_bytes(entry)}):
                return entry

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, in alphabetical order."""
        if not self.root.is_dir():
            return []
        found = [entry.name for entry in self.root.iterdir() if _MODEL_NAME.fullmatch(entry.name)]
        return sorted(name for name in found if _numbers(self.root / name / "versions"))

    def versions(self, name: str) -> list[ModelVersion]:
        """Return all versions of a model, oldest first.

        Raises:
            RegistryError: If there is no such model, or a record is damaged.
        """
        return [self.version(name, number) for number in self._known(name)]

    def version(self, name: str, number: int) -> ModelVersion:
        """Return what is known about one version.

        Raises:
            RegistryError: If there is no such version, or its record is damaged.
        """
        self._check_known(name, number)
        path = self._folder(name) / "versions" / f"{number:06d}" / "version.json"
        entry = ModelVersion(**_entry(path, ModelVersion))
        if (entry.name, entry.version) != (name, number) or not isinstance(entry.sha256, str):
            raise RegistryError(f"{path}: version {number} of {name!r} expected, found {entry}")
        checked: ModelVersion = _checked_record(
            path,
            entry,
            version=_is_count,
            sha256=lambda digest: _DIGEST.fullmatch(digest) is not None,
            size=_is_count,
            metrics=_are_metrics,
            notes=_is_text,
        )
        return checked

    def load(
        self, name: str, version: int | None = None, stage: _Stage = "production", sha256: str | None = None
    ) -> Layer:
        """Load a model, switched to use, after its digest was checked.

        Args:
            name: The model's name.
            version: The version's number; None for the newest in a stage.
            stage: The stage, if no version is given.
            sha256: A digest that is expected beside the one that the registry has stored.

        Raises:
            RegistryError: If there is no such version, none in that stage, or its file cannot be read.
            ModelFileError: If the file has another digest or is refused for another reason; see `load_model`.
            TypeError: If `sha256` is no str.
        """
        _check_digest(sha256)
        if version is None:
            numbers = [number for number, found in self.stages(name).items() if found == stage]
            if not numbers:
                raise RegistryError(f"no version of {name!r} is in stage {stage!r}: {self.stages(name)}")
            version = max(numbers)
        entry = self.version(name, version)
        if sha256 is not None and sha256.lower() != entry.sha256:
            raise ModelFileError(
                f"version {version} of {name!r}: SHA-256 digest {sha256} is expected, found {entry.sha256}"
            )
        path = self._folder(name) / "versions" / f"{version:06d}" / "model.npz"
        try:
            return load_model(path, self.builders, entry.sha256, self.max_bytes)
        except OSError as error:
            raise RegistryError(f"{path} cannot be read: {error}") from error

    def stages(self, name: str) -> dict[int, _Stage]:
        """Return the stage of every version, by number.

        Raises:
            RegistryError: If there is no such model, or a record is damaged.
        """
        stages, _ = _replayed(self.history(name))
        return {number: stages.get(number, "registered") for number in self._known(name)}

    def history(self, name: str) -> list[StageChange]:
        """Return all changes of stages, oldest first.

        Raises:
            RegistryError: If there is no such model, or a record is damaged or missing.
        """
        self._known(name)
        folder = self._folder(name) / "stages"
        last = max(_numbers(folder), default=0)
        # All numbers up to the last, and not those that a listing shows: a gap is damage.
        paths = [folder / f"{number:06d}" / "change.json" for number in range(1, last + 1)]
        return [
            _checked_record(
                path,
                StageChange(**_entry(path, StageChange)),
                action=lambda action: action in ("promote", "rollback"),
                version=_is_count,
                stage=lambda stage: stage in ("staging", "production", "archived"),
                reason=_is_text,
            )
            for path in paths
        ]

    def promote(self, name: str, version: int, stage: _Stage, reason: str = "") -> StageChange:
        """Give a version a stage: "staging", then "production", or "archived".

        A version that takes over production archives the one before it.

        Raises:
            RegistryError: If there is no such version; if it has the stage already; if it would get to
                production without being in staging; or if it is in production and would leave that stage.
            ValueError: If there is no such stage, or the clock does not show the seconds since 1970.
            TypeError: If `reason` is no str.
        """
        self._check_known(name, version)
        _checked_text("reason", reason)
        if stage not in ("staging", "production", "archived"):
            raise ValueError(f"a stage is staging, production or archived, found {stage!r}")

        def decide(changes: list[StageChange]) -> StageChange:
            found = _replayed(changes)[0].get(version, "registered")
            if not _may_go(found, stage):
                is_early = stage == "production" and found != "staging"
                wanted = "staging" if is_early else "a stage that can be left for it"
                raise RegistryError(
                    f"version {version} of {name!r} cannot go to {stage}: {wanted} is expected, found {found}"
                )
            return StageChange("promote", version, stage, reason, self._now())

        return self._append(name, decide)

    def rollback(self, name: str, reason: str = "") -> StageChange:
        """Bring back the version that was in production before the present one, which is archived.

        Raises:
            RegistryError: If there is no such model, or none was in production before.
            TypeError: If `reason` is no str.
        """
        _checked_text("reason", reason)

        def decide(changes: list[StageChange]) -> StageChange:
            line = _replayed(changes)[1]
            if len(line) < 2:
                raise RegistryError(
                    f"a version in production before the present one is expected for {name!r}, found {line}"
                )
            self._check_known(name, line[-2])
            return StageChange("rollback", line[-2], "production", reason, self._now())

        return self._append(name, decide)

    def _append(self, name: str, decide: Callable[[list[StageChange]], StageChange]) -> StageChange:
        """Add a change that is decided upon all earlier ones; decide again if another comes in between."""
        folder = self._folder(name) / "stages"
        while True:
            number = max(_numbers(folder), default=0) + 1
            change = decide(self.history(name))
            if _claim(folder, number, {"change.json": _json_bytes(change)}):
                return change

    def _folder(self, name: object) -> Path:
        """Return the folder of a model, which lies in the registry's folder whatever the name is."""
        if not isinstance(name, str) or not _MODEL_NAME.fullmatch(name):
            raise RegistryError(
                f"a model's name is 1 to 64 of a-z, 0-9, - and _, a letter or digit first, found {name!r}"
            )
        folder = self.root / name
        if folder.resolve() != self.root.resolve() / name:
            raise RegistryError(f"the model {name!r} leads out of the registry, to {folder.resolve()}")
        return folder

    def _known(self, name: str) -> list[int]:
        """Return the numbers of a model's versions; there is at least one."""
        numbers = _numbers(self._folder(name) / "versions")
        if not numbers:
            raise RegistryError(f"no model {name!r}: the registry has {self.names()}")
        return numbers

    def _check_known(self, name: str, version: object) -> None:
        numbers = self._known(name)
        if isinstance(version, bool) or not isinstance(version, int) or version not in numbers:
            raise RegistryError(f"no version {version!r} of {name!r}: the registry has {numbers}")

    def _now(self) -> str:
        shown = self.clock()
        try:
            return datetime.fromtimestamp(shown, UTC).isoformat(timespec="seconds")
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise ValueError(f"the clock must show the seconds since 1970, found {shown!r}") from error

    def __repr__(self) -> str:
        return f"ModelRegistry({str(self.root)!r})"


def _json_bytes(record: ModelVersion | StageChange) -> bytes:
    """Return a record as JSON text."""
    return json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False).encode()


# %%
with tempfile.TemporaryDirectory() as folder:
    registry = ModelRegistry(folder, clock=lambda: 0.0)
    for seed in (0, 1):
        registry.register(
            "tiny", MLP([4, 8, 3], rng=seed), {"builder": "mlp", "sizes": [4, 8, 3]}, {"loss": 1.0 - seed / 2}
        )
    assert [(v.version, v.metrics["loss"], v.created[:4]) for v in registry.versions("tiny")] == [
        (1, 1.0, "1970"),
        (2, 0.5, "1970"),
    ]
    for version in (1, 2):
        registry.promote("tiny", version, "staging")
        registry.promote("tiny", version, "production")
    assert registry.stages("tiny") == {1: "archived", 2: "production"}
    registry.rollback("tiny", "more complaints since version 2")
    assert registry.stages("tiny") == {1: "production", 2: "archived"}
    assert np.array_equal(registry.load("tiny")(x).numpy(), MLP([4, 8, 3], rng=0)(x).numpy())
    assert "a model's name" in refusal(registry.load, "../tiny")
    assert "found [1]" in refusal(registry.rollback, "tiny")
    assert "staging is expected, found archived" in refusal(registry.promote, "tiny", 2, "production")

# %% [markdown]
# ## 3. Drift: are the inputs still the same?
#
# A network has learned what was true of its training data. If the inputs change (a new camera, another
# season, a supplier who sends centimetres instead of inches), its predictions get worse, and nobody
# notices: in operation there are no labels to compare with. But the *inputs* can be compared, with a
# *reference* sample kept from training. (Gama et al., *A survey on concept drift adaptation*, ACM Computing
# Surveys 46(4), 2014.)
#
# The question is one of statistics: two samples, do they come from one distribution?
#
# ### The Kolmogorov-Smirnov test
#
# For numbers. The *empirical distribution function* $F_n(x)$ is the share of a sample that is at most $x$.
# The statistic is the largest distance between the two:
#
# $$D = \sup_x |F_n(x) - G_m(x)| .$$
#
#     reference  1  2  3  4        F:  1/4   1/2   3/4   1     1     1
#     sample        2  3  5  6     G:  0     1/4   1/2   1/2   3/4   1
#                                at x = 1    2     3     4     5     6       D = 1/2, at x = 4
#
# Is 1/2 a lot? If both samples come from one continuous distribution, then whatever that is,
# $\sqrt{nm / (n + m)}\, D$ has for large samples the *Kolmogorov distribution* (Kolmogorov, 1933; Smirnov,
# 1948), with the tail
#
# $$Q(\lambda) = 2 \sum_{k=1}^{\infty} (-1)^{k-1} e^{-2 k^2 \lambda^2}
#              = 1 - \frac{\sqrt{2\pi}}{\lambda} \sum_{k=1}^{\infty} e^{-(2k-1)^2 \pi^2 / (8 \lambda^2)} .$$
#
# The p-value is $Q$ at the observed value: how often chance alone would give such a distance or a larger
# one. Two forms, since the first converges fast for large $\lambda$ and the second for small ones (they are
# linked by Jacobi's theta function). From about 20 numbers in each sample on, the limit is good enough for
# an alarm; with many equal values in the data the p-value is too large, that is on the safe side.
#
# ### The chi-squared test
#
# For categories: a table of counts, 2 rows and $k$ columns. If both samples have one distribution, category
# $j$ is expected $E_{ij} = n_i c_j / N$ times in sample $i$ (row sum times column sum by total), and
#
# $$X^2 = \sum_{ij} \frac{(O_{ij} - E_{ij})^2}{E_{ij}}$$
#
# has about the $\chi^2$ distribution with $k - 1$ degrees of freedom (Pearson, 1900). For whole degrees of
# freedom its tail is a finite sum (Abramowitz & Stegun, 1964, 26.4.4 and 26.4.5). Categories that are
# expected fewer than five times are put together first (Cochran, *Biometrics* 10, 1954): the approximation
# needs numbers.
#
# ### The population stability index
#
# A p-value says whether there is a difference, not whether it *matters*: among a million examples, the
# smallest shift is significant. The **PSI** measures size. The values are sorted into $B$ bins, each with a
# tenth of the reference, say; with shares $p_i$ and $q_i$ of reference and sample in bin $i$,
#
# $$\mathrm{PSI} = \sum_i (q_i - p_i) \ln \frac{q_i}{p_i} .$$
#
# It is the Kullback-Leibler divergence there and back, also known as Jeffreys' divergence. The usual rule
# of thumb (Siddiqi, *Credit Risk Scorecards*, 2006): below 0.1 nothing, above 0.25 a large shift. Chance
# alone gives about $(B - 1)(1/n + 1/m)$ (Yurdakul & Naranjo, *Journal of Risk Model Validation* 14(4),
# 2020), so for 100 examples the rule is of no use. Empty bins would give $\ln 0$; we add half an example to
# every bin.
#
# ### Many features, many false alarms
#
# Test 100 features at the level 5%, and five raise an alarm though nothing has happened. Every day.
# *Benjamini and Hochberg* (J. R. Statist. Soc. B 57, 1995) keep the expected share of *false* alarms among
# all alarms below
# $\alpha$. Sort the p-values, $p_{(1)} \le \dots \le p_{(m)}$; the adjusted ones are
#
# $$\tilde p_{(i)} = \min_{j \ge i} \min\left(\frac{m}{j}\, p_{(j)},\, 1\right), \qquad
#   \text{alarm if } \tilde p \le \alpha .$$
#
#     p          0.01   0.02   0.03   0.5
#     m/j p      0.04   0.04   0.04   0.5       what is left if each takes the least on its right
#
# The detector below raises an alarm for a feature if it is both **significant** (adjusted p-value) and
# **large** (PSI).


# %%
#| export
@dataclass(frozen=True)
class HypothesisTest:
    """Result of a test whether two samples have one distribution.

    Attributes:
        statistic: The test's measure of the difference, at least 0.
        p_value: Probability of at least such a difference if there is none, from 0 to 1.
    """

    statistic: float
    p_value: float


def kolmogorov_tail(value: float) -> float:
    """Return the probability that a variable with the Kolmogorov distribution exceeds a value.

    Kolmogorov (1933), in both forms of the series; each is cut off where terms fall below 1e-17.

    Raises:
        TypeError: If the value is not a number.
        ValueError: If it is negative or NaN.
    """
    value = _number("value", value)
    if not value >= 0.0:
        raise ValueError(f"a number of at least 0 is expected, found {value}")
    if value < 0.04:  # the second series would be 1 - 1e-330
        return 1.0
    if value < 1.18:
        terms = (math.exp(-(((2 * k - 1) * math.pi / value) ** 2) / 8.0) for k in range(1, 6))
        return 1.0 - math.sqrt(2.0 * math.pi) / value * math.fsum(terms)
    return 2.0 * math.fsum((-1) ** (k - 1) * math.exp(-2.0 * (k * value) ** 2) for k in range(1, 6))


def chi_squared_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-squared variable exceeds a value (Abramowitz & Stegun, 26.4.4-5).

    Args:
        value: A number of at least 0.
        degrees: Degrees of freedom, a whole number of at least 1.

    Raises:
        TypeError: If the value is not a number, or `degrees` not an int.
        ValueError: If an argument is out of range.
    """
    value = _number("value", value)
    if not value >= 0.0 or _whole("degrees", degrees) < 1:
        raise ValueError(
            f"a value of at least 0 with at least 1 degree is expected, found {value}, {degrees}"
        )
    half = value / 2.0
    if half == 0.0 or math.isinf(half):
        return 1.0 if half == 0.0 else 0.0
    # Q(1/2, x) or Q(1, x), then Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1): nothing is subtracted.
    first = 0.5 if degrees % 2 else 1.0
    start = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    powers = (first + step for step in range((degrees - 1) // 2))
    terms = (math.exp(a * math.log(half) - half - math.lgamma(a + 1.0)) for a in powers)
    return min(1.0, math.fsum([start, *terms]))


def kolmogorov_smirnov(reference: _Array, sample: _Array) -> HypothesisTest:
    """Test whether two samples of numbers have one distribution (Kolmogorov, 1933; Smirnov, 1948).

    Args:
        reference: Finite numbers, shape (n,).
        sample: Finite numbers, shape (m,).

    Returns:
        The largest distance D of the distribution functions, and the p-value in the limit of large samples,
        good from about 20 numbers in each; with ties it is too large.

    Raises:
        ValueError: If a sample is empty, has another number of axes, or holds NaN or infinite values.
    """
    first, second = (
        np.sort(_checked_sample("reference", reference)),
        np.sort(_checked_sample("sample", sample)),
    )
    everywhere = np.concatenate([first, second])
    distance = np.abs(
        np.searchsorted(first, everywhere, side="right") / first.size
        - np.searchsorted(second, everywhere, side="right") / second.size
    ).max()
    effective = first.size * second.size / (first.size + second.size)
    return HypothesisTest(float(distance), kolmogorov_tail(math.sqrt(effective) * float(distance)))


def _plain_array(name: str, values: object) -> _Array:
    """Return plain numbers as an array, or raise: text, dates, objects and masks are none."""
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name}: numbers are expected, found an array with a mask, which would be lost")
    try:
        array = np.asarray(values.data if isinstance(values, Tensor) else values)
    except ValueError as error:
        raise ValueError(f"{name}: rows of one length are expected, found different ones") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: numbers are expected, found dtype {array.dtype}")
    return array


def _checked_sample(name: str, values: object, axes: int = 1) -> npt.NDArray[np.float64]:
    """Return finite numbers with a given number of axes as float64, or raise."""
    array = _plain_array(name, values)
    if array.ndim != axes or array.size == 0:
        wanted = "(examples,)" if axes == 1 else "(examples, features)"
        raise ValueError(f"{name}: shape {wanted} without empty axes is expected, found {array.shape}")
    with np.errstate(over="ignore"):  # a wider float may be infinite as a float64
        wide = array.astype(np.float64)
    bad = wide.size - int(np.isfinite(wide).sum())
    if bad:
        raise ValueError(f"{name}: finite values are expected, found {bad} NaN or infinite of {wide.size}")
    return wide


_LARGEST_CATEGORY = 2.0**53


def category_counts(reference: _Array, sample: _Array) -> npt.NDArray[np.int64]:
    """Return how often each value occurs in two samples, shape (2, number of different values).

    Raises:
        ValueError: If a sample is empty, has another number of axes, or holds NaN, infinite values, or ones
            beyond 2**53, of which several would count as one.
    """
    first, second = _checked_sample("reference", reference), _checked_sample("sample", sample)
    largest = max(np.abs(first).max(), np.abs(second).max())
    if largest >= _LARGEST_CATEGORY:
        raise ValueError(f"categories are numbers below 2**53, which floats tell apart, found {largest:g}")
    kinds, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    split = np.split(places.reshape(-1), [first.size])
    return np.stack([np.bincount(part, minlength=kinds.size) for part in split]).astype(np.int64)


def chi_squared_homogeneity(counts: _Array, rare: float = 5.0) -> HypothesisTest:
    """Test whether two rows of counts have one distribution over the columns (Pearson, 1900).

    Args:
        counts: Whole numbers of at least 0, shape (2, categories); both rows must have a sum above 0.
        rare: Categories expected less often than this in one of the rows are put together (Cochran, 1954);
            at least 0.

    Returns:
        X squared and its p-value; 0 and 1 if only one category is left.

    Raises:
        TypeError: If `rare` is not a number.
        ValueError: If shape or values are not as described.
    """
    if not 0.0 <= _number("rare", rare) < math.inf:
        raise ValueError(f"rare must be a finite number of at least 0, found {rare}")
    table = _plain_array("counts", counts)
    if table.ndim != 2 or table.shape[0] != 2 or table.dtype.kind not in "iu":
        raise ValueError(f"ints of shape (2, categories) are expected, found {table.dtype} {table.shape}")
    table = table.astype(np.float64)  # the sum of large ints could overflow
    table = table[:, table.any(axis=0)]  # a category that nobody has says nothing
    rows = table.sum(axis=1, keepdims=True)
    if table.size == 0 or table.min() < 0 or rows.min() < 1:
        raise ValueError(f"counts of at least 0 with sums above 0 are expected, found sums {rows.ravel()}")
    share = rows / rows.sum()
    is_rare = (share * table.sum(axis=0)).min(axis=0) < rare
    rest = table[:, is_rare].sum(axis=1, keepdims=True)
    merged = np.hstack([table[:, ~is_rare], rest]) if rest.any() else table[:, ~is_rare]
    if merged.shape[1] < 2:
        return HypothesisTest(0.0, 1.0)
    expected = share * merged.sum(axis=0)
    statistic = float(((merged - expected) ** 2 / expected).sum())
    return HypothesisTest(statistic, chi_squared_tail(statistic, merged.shape[1] - 1))


def stability_index(counts: _Array) -> float:
    """Return the population stability index of two rows of counts, in nats (Siddiqi, 2006).

    Half an example is added to every column that is not empty in both rows.

    Args:
        counts: Numbers of at least 0, shape (2, bins); both rows must have a sum above 0.

    Raises:
        ValueError: If shape or values are not as described.
    """
    table = _plain_array("counts", counts).astype(np.float64)
    if table.ndim != 2 or table.shape[0] != 2:
        raise ValueError(f"counts of shape (2, bins) are expected, found {table.shape}")
    with np.errstate(over="ignore"):
        sums = table.sum(axis=1)
    if not (table >= 0).all() or not ((sums > 0) & np.isfinite(sums)).all():
        raise ValueError(f"counts of at least 0 with sums above 0 are expected, found {table.tolist()}")
    used = table[:, table.any(axis=0)] + 0.5
    shares = used / used.sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def binned_counts(reference: _Array, sample: _Array, bins: int = 10) -> npt.NDArray[np.int64]:
    """Sort two samples into bins that hold equal shares of the reference.

    The outer bins have no end. If the reference has no more different values than there are bins, each value
    is a bin of its own, and so is every gap between two and beyond the outermost. Otherwise a value that
    fills more than a bin by itself (the 0 of a feature that is mostly 0) is a bin of its own.

    Returns:
        Counts of shape (2, number of bins).

    Raises:
        TypeError: If `bins` is not an int.
        ValueError: If `bins` is below 2, or a sample is not as for `kolmogorov_smirnov`.
    """
    if _whole("bins", bins) < 2:
        raise ValueError(f"at least 2 bins are expected, found {bins}")
    samples = [_checked_sample("reference", reference), _checked_sample("sample", sample)]
    values = np.unique(samples[0])
    if values.size <= bins:
        # Twice the position for a gap, and one more for the value behind it.
        places = [np.searchsorted(values, s, "left") + np.searchsorted(values, s, "right") for s in samples]
        count = 2 * values.size + 1
    else:
        edges = np.unique(np.quantile(samples[0], np.arange(1, bins) / bins))
        ordered = np.sort(samples[0])
        equal = np.searchsorted(ordered, edges, side="right") - np.searchsorted(ordered, edges, side="left")
        # Without an end of its own, such a value would share its bin with all that lies above it.
        edges = np.union1d(edges, np.nextafter(edges[equal > ordered.size / bins], np.inf))
        places = [np.searchsorted(edges, s, side="right") for s in samples]
        count = edges.size + 1
    return np.stack([np.bincount(place, minlength=count) for place in places]).astype(np.int64)


def benjamini_hochberg(p_values: Sequence[float] | _Array) -> npt.NDArray[np.float64]:
    """Return p-values adjusted for their number (Benjamini & Hochberg, 1995), in the given order.

    If everything with an adjusted p-value of at most alpha is reported, the expected share of false reports
    is at most alpha (for independent or positively dependent tests).

    Raises:
        ValueError: If a p-value is not a number from 0 to 1, or there is none.
    """
    values = _plain_array("p-values", p_values).astype(np.float64)
    if values.ndim != 1 or values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values from 0 to 1 of shape (tests,) are expected, found {values.tolist()}")
    order = np.argsort(values, kind="stable")
    scaled = values[order] * values.size / np.arange(1, values.size + 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


# %%
four = kolmogorov_smirnov(np.array([1, 2, 3, 4]), np.array([2, 3, 5, 6]))
assert four.statistic == 0.5
assert abs(kolmogorov_tail(1.3581) - 0.05) < 1e-5  # the critical value in every table
assert abs(kolmogorov_tail(1.18 - 1e-12) - kolmogorov_tail(1.18)) < 1e-11  # the two forms meet
assert abs(chi_squared_tail(3.841459, 1) - 0.05) < 1e-6
assert abs(chi_squared_tail(18.307038, 10) - 0.05) < 1e-6
even = chi_squared_homogeneity(np.array([[10, 20], [20, 10]]))  # all four are expected 15 times
assert abs(even.statistic - 4 * 25 / 15) < 1e-12
assert stability_index(np.array([[10, 20], [10, 20]])) == 0.0
assert np.allclose(benjamini_hochberg([0.03, 0.5, 0.01, 0.02]), [0.04, 0.5, 0.04, 0.04])

# %% [markdown]
# If nothing has changed, p-values are spread evenly from 0 to 1: one in twenty is below 0.05. A test
# whose p-values are not is wrong, however good its formulas look. Let us try a thousand times.

# %%
rng = np.random.default_rng(0)
trials = [kolmogorov_smirnov(rng.normal(size=300), rng.normal(size=200)).p_value for _ in range(1000)]
assert abs(np.mean(np.array(trials) < 0.05) - 0.05) < 0.02
assert abs(np.mean(np.array(trials) < 0.5) - 0.5) < 0.06

# %% [markdown]
# ### A detector
#
# `DriftDetector` keeps a reference sample and compares batches with it, feature by feature. It takes a
# table `(examples, features)`: flatten images, or better, give it a few numbers that describe an image (its
# mean, its contrast). NaN is refused: count missing values before, they are a kind of drift themselves
# (exercise 3).


# %%
#| export
@dataclass(frozen=True)
class FeatureDrift:
    """How one feature of a batch compares with the reference.

    Attributes:
        name: The feature's name.
        kind: "numeric" (Kolmogorov-Smirnov) or "categorical" (chi-squared).
        statistic: D or X squared.
        p_value: The p-value of this feature alone.
        adjusted_p: The p-value adjusted for the number of features (Benjamini & Hochberg).
        psi: The population stability index, in nats.
        drifted: Whether the adjusted p-value and the index both say so.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    statistic: float
    p_value: float
    adjusted_p: float
    psi: float
    drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """How a batch compares with the reference.

    Attributes:
        features: One entry for each feature, in order.
        examples: Number of examples in the batch.
    """

    features: tuple[FeatureDrift, ...]
    examples: int

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that have drifted; empty if all is well."""
        return tuple(feature.name for feature in self.features if feature.drifted)

    def __str__(self) -> str:
        lines = [f"{len(self.drifted)} of {len(self.features)} features drifted ({self.examples} examples)"]
        for f in sorted(self.features, key=lambda f: (f.adjusted_p, -f.psi)):
            mark = "drifted" if f.drifted else ""
            lines.append(
                f"  {f.name:<16} {f.kind:<12} p {f.adjusted_p:<10.3g} PSI {f.psi:<8.3f} {mark}".rstrip()
            )
        return "\n".join(lines)


def _listed(values: object) -> list[Any]:
    """Return the elements of a collection that is no text."""
    if isinstance(values, (str, bytes)) or not isinstance(values, (Collection, np.ndarray)):
        raise TypeError(f"a collection is expected, found {values!r}")
    return list(values)


class DriftDetector:
    """Compares batches of inputs with a reference sample, feature by feature.

    Args:
        reference: Inputs like those in training, shape (examples, features).
        categorical: The indices of features whose values are categories.
        names: A name for each feature; None for "0", "1", ...
        alpha: The accepted share of false alarms among alarms, above 0 and below 1.
        min_psi: The population stability index from which a difference counts as large.
        min_examples: How many examples a batch (and the reference) must have for the tests to make sense.

    Raises:
        TypeError: If an argument is of another type: `alpha` not a number, an index not an int, a name not a
            str.
        ValueError: If the reference is no such table of finite numbers, or another argument is out of range.
    """

    def __init__(
        self,
        reference: Tensor | _Array,
        categorical: Collection[int] = (),
        names: Sequence[str] | None = None,
        alpha: float = 0.05,
        min_psi: float = 0.1,
        min_examples: int = 20,
    ) -> None:
        in_range = 0.0 < _number("alpha", alpha) < 1.0 and 0.0 <= _number("min_psi", min_psi) < math.inf
        if not in_range or _whole("min_examples", min_examples) < 1:
            raise ValueError(
                "alpha between 0 and 1, finite min_psi of at least 0 and min_examples of at least 1 are "
                f"expected, found {alpha}, {min_psi} and {min_examples}"
            )
        self.alpha, self.min_psi, self.min_examples = float(alpha), float(min_psi), int(min_examples)
        self._reference = self._checked("reference", reference, None)
        features = self._reference.shape[1]
        indices = [_whole("an index of a categorical feature", i) for i in _listed(categorical)]
        if not set(indices) <= set(range(features)):
            raise ValueError(
                f"categorical features from 0 to {features - 1} expected, found {sorted(indices)}"
            )
        given = map(str, range(features)) if names is None else _listed(names)
        self.names = tuple(_checked_text("a feature's name", name) for name in given)
        if len(self.names) != features or len(set(self.names)) != features:
            raise ValueError(f"{features} different names are expected, found {list(self.names)}")
        self.categorical = frozenset(indices)
        for index in indices:
            category_counts(self._reference[:, index], self._reference[:, index])  # refuses what is none

    def check(self, batch: Tensor | _Array) -> DriftReport:
        """Compare a batch with the reference.

        Args:
            batch: Inputs, shape (examples, features), with at least `min_examples` examples.

        Raises:
            ValueError: If the batch has another number of features, too few examples, or values that are not
                finite.
        """
        table = self._checked("batch", batch, self._reference.shape[1])
        results = [self._compared(i, self._reference[:, i], table[:, i]) for i in range(table.shape[1])]
        adjusted = benjamini_hochberg([test.p_value for _, test, _ in results])
        features = [
            FeatureDrift(
                name,
                kind,
                test.statistic,
                test.p_value,
                float(p),
                psi,
                bool(p <= self.alpha and psi >= self.min_psi),
            )
            for name, (kind, test, psi), p in zip(self.names, results, adjusted, strict=True)
        ]
        return DriftReport(tuple(features), len(table))

    def _compared(
        self, index: int, reference: _Array, sample: _Array
    ) -> tuple[Literal["numeric", "categorical"], HypothesisTest, float]:
        if index in self.categorical:
            counts = category_counts(reference, sample)
            return "categorical", chi_squared_homogeneity(counts), stability_index(counts)
        counts = binned_counts(reference, sample)
        return "numeric", kolmogorov_smirnov(reference, sample), stability_index(counts)

    def _checked(self, name: str, values: object, features: int | None) -> npt.NDArray[np.float64]:
        table = _checked_sample(name, values, axes=2)
        if features is not None and table.shape[1] != features:
            raise ValueError(f"{name}: shape (examples, {features}) is expected, found {table.shape}")
        if len(table) < self.min_examples:
            raise ValueError(
                f"{name}: at least {self.min_examples} examples are expected, found {len(table)}"
            )
        return table


# %%
def day(seed, shift=0.0, weights=(0.5, 0.3, 0.2)):
    """Inputs of one day: two numbers and a category."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal([0.0, 10.0 + shift], [1.0, 3.0], size=(2000, 2))
    return np.column_stack([numbers, rng.choice(3, size=2000, p=weights)])


detector = DriftDetector(day(0), categorical=[2], names=["contrast", "size", "colour"])
assert detector.check(day(1)).drifted == ()
assert detector.check(day(2, shift=2.0)).drifted == ("size",)
assert detector.check(day(3, weights=(0.2, 0.3, 0.5))).drifted == ("colour",)
tiny_shift = detector.check(day(4, shift=0.4)).features[1]
assert tiny_shift.adjusted_p < 0.01  # significant ...
assert not tiny_shift.drifted  # ... and too small to matter
print(detector.check(day(2, shift=2.0)))

# %% [markdown]
# ## 4. Monitoring
#
# ### Mean and variance, one number at a time
#
# A service cannot keep all its numbers to average them at the end of the year. The obvious way, to keep
# $\sum x$ and $\sum x^2$ and compute $\overline{x^2} - \bar x^2$, subtracts two large numbers that are nearly
# equal: for $x = 10^9 + \{4, 7, 13, 16\}$ the variance comes out wrong or even negative. *Welford*
# (Technometrics 4, 1962; Knuth, TAOCP 2, 4.2.2) keeps the mean and the sum $M$ of squared distances from it:
#
# $$\bar x_n = \bar x_{n-1} + \frac{x_n - \bar x_{n-1}}{n}, \qquad
#   M_n = M_{n-1} + (x_n - \bar x_{n-1})(x_n - \bar x_n) .$$
#
# For batches, and to merge what several machines have counted, there is the same for two groups $a$ and $b$
# (Chan, Golub & LeVeque, *The American Statistician* 37(3), 1983), with $\delta = \bar x_b - \bar x_a$:
#
# $$\bar x = \bar x_a + \delta\, \frac{n_b}{n}, \qquad M = M_a + M_b + \delta^2\, \frac{n_a n_b}{n} .$$
#
# ### Latency
#
# Mean latency is what nobody experiences. Users remember the slowest request, so one looks at
# **quantiles**: p50 is the median, and one request in a hundred is slower than p99 (Dean & Barroso, *The
# Tail at Scale*, CACM 56(2), 2013). We take the *nearest rank*, so that a quantile is a latency that did
# occur: the smallest one that at least a share $q$ of all does not exceed.
#
# Quantiles and error rate are those of the last minute, say: a **sliding window**. The time comes from a
# clock that is handed in. So tests need not sleep, and one can replay yesterday's log.
#
# ### Alerts
#
# A rule is a measure, a limit and a direction: *error rate above 5%*. It needs a minimum of requests, or the
# first failed request of the night (100% errors!) gets somebody out of bed.


# %%
#| export
class RunningMoments:
    """Mean and variance of a stream of numbers or arrays, without storing them (Welford, 1962).

    Args:
        shape: Shape of one example; () for numbers.

    Attributes:
        count: How many examples there were.

    Raises:
        TypeError: If the shape is no collection of ints.
        ValueError: If a length is negative.
    """

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self.shape = tuple(_whole("a length of the shape", length, 0) for length in _listed(shape))
        self.count = 0
        self._mean = np.zeros(self.shape)
        self._squares = np.zeros(self.shape)  # sums of squared distances from the mean

    def add(self, examples: Tensor | _Array | Sequence[float] | float) -> None:
        """Add one example of shape `shape`, or a batch of shape (examples, *shape).

        Raises:
            ValueError: If the shape does not fit, a value is no number, NaN or infinite, or the sum of the
                squares exceeds the largest float. Nothing is added then.
        """
        values = _plain_array("examples", examples)
        if values.shape == self.shape:
            values = values[np.newaxis]
        if values.shape[1:] != self.shape or values.ndim != len(self.shape) + 1:
            raise ValueError(
                f"examples of shape {self.shape} or a batch of them expected, found {values.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            wide = values.astype(np.float64)
            if not np.isfinite(wide).all():
                raise ValueError(
                    f"finite numbers are expected, found dtype {values.dtype} with NaN or the like"
                )
            if len(wide):
                mean = wide.mean(axis=0)
                self._combine(len(wide), mean, ((wide - mean) ** 2).sum(axis=0))

    def merge(self, other: "RunningMoments") -> None:
        """Add all examples that another object of the same shape has seen (Chan, Golub & LeVeque, 1983).

        Raises:
            TypeError: If the other is no RunningMoments.
            ValueError: If the shapes differ, or the sum of the squares exceeds the largest float.
        """
        if not isinstance(other, RunningMoments):
            raise TypeError(f"RunningMoments are expected, found {type(other).__name__}")
        if other.shape != self.shape:
            raise ValueError(f"moments of shape {self.shape} are expected, found {other.shape}")
        if other.count:
            self._combine(other.count, other._mean, other._squares)

    def _combine(self, count: int, mean: _Array, squares: _Array) -> None:
        total = self.count + count
        with np.errstate(over="ignore", invalid="ignore"):
            delta = mean - self._mean
            new_mean = self._mean + delta * (count / total)
            new_squares = self._squares + squares + delta**2 * (self.count * count / total)
        if not (np.isfinite(new_mean).all() and np.isfinite(new_squares).all()):
            raise ValueError("numbers whose squares a float can hold are expected, found larger ones")
        self.count, self._mean, self._squares = total, new_mean, new_squares

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean, of shape `shape`.

        Raises:
            ValueError: If there were no examples.
        """
        self._check_count(1)
        return self._mean.copy()

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """The unbiased variance (divided by count - 1), of shape `shape`.

        Raises:
            ValueError: If there were fewer than two examples.
        """
        self._check_count(2)
        return np.asarray(self._squares / (self.count - 1))

    def _check_count(self, least: int) -> None:
        if self.count < least:
            raise ValueError(f"at least {least} examples are expected, found {self.count}")


@dataclass(frozen=True)
class AlertRule:
    """When somebody has to look.

    Attributes:
        measure: A number in a `ServiceSnapshot`: "requests", "error_rate", "p50", "p95" or "p99".
        limit: The alert is raised beyond this (not at it).
        direction: "above" or "below".
        min_requests: With fewer requests in the window there is no alert.

    Raises:
        TypeError: If `limit` is not a number, or `min_requests` not an int.
        ValueError: If there is no such measure or direction, the limit is not finite, or `min_requests` is
            negative.
    """

    measure: Literal["requests", "error_rate", "p50", "p95", "p99"]
    limit: float
    direction: Literal["above", "below"] = "above"
    min_requests: int = 0

    def __post_init__(self) -> None:
        if self.measure not in ("requests", "error_rate", "p50", "p95", "p99"):
            raise ValueError(f"a measure is requests, error_rate, p50, p95 or p99, found {self.measure!r}")
        if self.direction not in ("above", "below") or not math.isfinite(_number("limit", self.limit)):
            raise ValueError(
                f"above or below a finite limit is expected, found {self.direction!r} {self.limit}"
            )
        _whole("min_requests", self.min_requests, 0)

    def alert(self, requests: int, value: float | None) -> str | None:
        """Return a sentence if a value (None: not known) is beyond the limit, else None.

        Raises:
            TypeError: If `requests` is not an int, or the value not a number.
            ValueError: If `requests` is negative, or the value NaN.
        """
        if value is not None and math.isnan(_number("value", value)):
            raise ValueError(f"{self.measure} must be a number to be compared, found NaN")
        if _whole("requests", requests, 0) < self.min_requests or value is None:
            return None
        beyond = value > self.limit if self.direction == "above" else value < self.limit
        return f"{self.measure} is {value:g}, {self.direction} {self.limit:g}" if beyond else None


@dataclass(frozen=True)
class ServiceSnapshot:
    """How a service did during the window that ends at a moment.

    Attributes:
        time: Seconds on the monitor's clock.
        requests: Number of requests in the window.
        error_rate: Share of them that failed; None without requests.
        p50: Median latency in seconds; None without requests.
        p95: Latency in seconds that 95% do not exceed.
        p99: Latency in seconds that 99% do not exceed.
        alerts: A sentence for every rule that is broken.
    """

    time: float
    requests: int
    error_rate: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    alerts: tuple[str, ...] = ()


def nearest_rank(values: Sequence[float] | _Array, share: float) -> float:
    """Return the smallest of some values that at least a share of all does not exceed.

    Raises:
        TypeError: If the share is not a number.
        ValueError: If there are no values, they are no row of finite numbers, or the share is not above 0 and
            at most 1.
    """
    array = _plain_array("values", values)
    if array.size == 0 or not 0.0 < _number("share", share) <= 1.0:
        raise ValueError(f"values and a share above 0 and at most 1 expected, found {array.size} and {share}")
    ordered = np.sort(_checked_sample("values", array))
    rank = math.ceil(share * ordered.size - 1e-9)  # 0.95 * 20 is 19, also where it comes out a little above
    return float(ordered[max(rank, 1) - 1])


class ServiceMonitor:
    """Watches requests to a model in a sliding window: latency, errors, alerts. For use from one thread.

    Args:
        window: Length of the window in seconds.
        rules: What is worth an alert.
        clock: Returns the time in seconds; it never goes back.
        capacity: How many requests, and how many snapshots, are kept at most; the oldest go first.

    Attributes:
        snapshots: The snapshots that were taken, oldest first.

    Raises:
        TypeError: If `window` is not a number, `capacity` not an int, a rule no AlertRule, or the clock
            cannot be called.
        ValueError: If `window` or `capacity` is not positive.
    """

    def __init__(
        self,
        window: float = 60.0,
        rules: Sequence[AlertRule] = (),
        clock: Callable[[], float] = time.monotonic,
        capacity: int = 100_000,
    ) -> None:
        most = _whole("capacity", capacity)
        if not 0.0 < _number("window", window) < math.inf or most < 1:
            raise ValueError(f"a positive window and capacity are expected, found {window} and {capacity}")
        for rule in _listed(rules):
            if not isinstance(rule, AlertRule):
                raise TypeError(f"a rule must be an AlertRule, found {rule!r}")
        if not callable(clock):
            raise TypeError(f"clock must be a function without arguments, found {clock!r}")
        self.window, self.rules, self.clock = float(window), tuple(rules), clock
        self.snapshots: deque[ServiceSnapshot] = deque(maxlen=most)
        self._requests: deque[tuple[float, float, bool]] = deque(maxlen=most)  # end, latency, failed
        self._latest = -math.inf  # what the clock showed last

    @contextmanager
    def request(self) -> Iterator[None]:
        """Measure a `with` block as one request; an exception is counted and goes on its way.

        Raises:
            TypeError: If the clock does not show a number.
            ValueError: If it goes back or shows NaN. An exception of the block comes before both.
        """
        start = self._now()
        try:
            yield
        except BaseException:
            with suppress(TypeError, ValueError):  # a broken clock must not hide what happened
                self.record(self._now() - start, failed=True)
            raise
        self.record(self._now() - start)

    def record(self, latency: float, failed: bool = False) -> None:
        """Add a request that has just ended.

        Args:
            latency: Its duration in seconds.
            failed: Whether it failed.

        Raises:
            TypeError: If the latency or what the clock shows is not a number, or `failed` not a bool.
            ValueError: If the latency is negative or not finite, or the clock goes back or shows NaN.
        """
        if not 0.0 <= _number("a latency", latency) < math.inf:
            raise ValueError(f"a latency is a finite number of at least 0 seconds, found {latency}")
        if not isinstance(failed, (bool, np.bool_)):
            raise TypeError(f"failed must be a bool, found {failed!r}")
        self._requests.append((self._now(), float(latency), bool(failed)))

    def _now(self) -> float:
        """Return what the clock shows, if that is a time and not before the last one."""
        shown = _number("the clock's time", self.clock())
        if not math.isfinite(shown):
            raise ValueError(f"the clock must show a finite time, found {shown}")
        if shown < self._latest:
            raise ValueError(f"the clock went back from {self._latest} to {shown}: use one that never does")
        self._latest = shown
        return shown

    def snapshot(self) -> ServiceSnapshot:
        """Take stock of the window that ends now; the result is also added to `snapshots`.

        Raises:
            TypeError: If the clock does not show a number.
            ValueError: If it goes back or shows NaN.
        """
        now = self._now()
        while self._requests and self._requests[0][0] <= now - self.window:
            self._requests.popleft()
        count = len(self._requests)
        measures: dict[str, float | None] = dict.fromkeys(("error_rate", "p50", "p95", "p99"))
        if count:
            latencies = [latency for _, latency, _ in self._requests]
            measures = {f"p{share}": nearest_rank(latencies, share / 100) for share in (50, 95, 99)}
            measures["error_rate"] = sum(failed for _, _, failed in self._requests) / count
        found = {**measures, "requests": count}
        alerts = [rule.alert(count, found[rule.measure]) for rule in self.rules]
        result = ServiceSnapshot(now, count, **measures, alerts=tuple(text for text in alerts if text))
        self.snapshots.append(result)
        return result

    def export(self, path: str | os.PathLike[str]) -> int:
        """Append all snapshots to a file as JSON lines (one JSON object on each line), and forget them.

        Returns:
            How many there were.

        Raises:
            OSError: If the file cannot be written. Then the snapshots are kept.
        """
        lines = [json.dumps(asdict(snapshot), allow_nan=False) + "\n" for snapshot in self.snapshots]
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        self.snapshots.clear()
        return len(lines)


# %%
moments = RunningMoments()
for number in (1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16):
    moments.add(number)
assert (moments.mean, moments.variance) == (1e9 + 10, 30.0)
naive = np.float64(1e9) + np.array([4.0, 7.0, 13.0, 16.0])
assert (np.mean(naive**2) - np.mean(naive) ** 2) * 4 / 3 != 30.0  # the obvious way

now = 0.0
monitor = ServiceMonitor(
    window=60.0, rules=[AlertRule("error_rate", 0.05, min_requests=10)], clock=lambda: now
)
for latency in range(1, 101):  # 0.01 s, 0.02 s, ... 1 s; every tenth request fails
    monitor.record(latency / 100, failed=latency % 10 == 0)
snapshot = monitor.snapshot()
assert (snapshot.p50, snapshot.p95, snapshot.p99) == (0.5, 0.95, 0.99)
assert snapshot.alerts == ("error_rate is 0.1, above 0.05",)
now = 60.0
assert monitor.snapshot().requests == 0  # the window has moved on

# %% [markdown]
# ## 5. All together
#
# A small model goes to production; the monitor watches it; the inputs change; the detector notices.

# %%
reference = day(0)[:, :2]
normal = (reference - reference.mean(axis=0)) / reference.std(axis=0)
served = Sequential(Linear(2, 4, rng=0), Tanh(), Linear(4, 2, rng=1))
layers = [
    {"builder": "linear", "in_features": 2, "out_features": 4},
    {"builder": "tanh"},
    {"builder": "linear", "in_features": 4, "out_features": 2},
]
with tempfile.TemporaryDirectory() as folder:
    registry = ModelRegistry(Path(folder) / "models")
    entry = registry.register("sorter", served, {"builder": "sequential", "steps": layers}, {"accuracy": 0.9})
    registry.promote("sorter", entry.version, "staging")
    registry.promote("sorter", entry.version, "production", reason="best so far")

    model = registry.load("sorter")
    detector = DriftDetector(normal, names=["contrast", "size"])
    ticks = iter(range(100))
    monitor = ServiceMonitor(clock=lambda: 0.5 * next(ticks))
    with monitor.request():
        model(Tensor(normal, dtype=np.float32))
    try:
        with monitor.request():
            model(Tensor(normal[:, :1], dtype=np.float32))  # a column is missing
    except ValueError:
        pass  # the client's fault; the monitor has counted it
    snapshot = monitor.snapshot()
    assert (snapshot.requests, snapshot.error_rate, snapshot.p50) == (2, 0.5, 0.5)
    assert monitor.export(Path(folder) / "monitor.jsonl") == 1
    line = json.loads((Path(folder) / "monitor.jsonl").read_text())
    assert line["error_rate"] == 0.5

assert detector.check(normal[:500]).drifted == ()
assert detector.check(normal[:500] * [1.0, 2.54]).drifted == ("size",)  # inches instead of centimetres

# %% [markdown]
# ## Summary
#
# | task | use | remember |
# |---|---|---|
# | store a model | `save_model`, `load_model` | no pickle; a table of builders, never an import |
# | keep track | `ModelRegistry` | versions never change; promote, roll back |
# | watch inputs | `DriftDetector` | significant *and* large; correct for many features |
# | watch the service | `ServiceMonitor`, `RunningMoments` | quantiles, not means; a clock that is handed in |
#
# ## Exercises
#
# 1. Sign model files: compute an HMAC (`hmac` in the standard library) with a key that only the training
#    machine has. Which attack does it stop that the digest does not?
# 2. Let `promote` demand that the metrics of the new version are not worse than those in production. Who
#    decides what "worse" means for several metrics?
# 3. Treat "missing" as a category of its own: a second table with ones where a value is NaN, all features
#    categorical.
# 4. Multiply the size of both samples in `day` by 100 and shift by 0.05. Which of p-value and PSI changes
#    its mind?
# 5. Add a builder for the quantised layers of module 12. What does `elements` count, and why must a
#    `QuantizedLinear` be built before its weights are known?
# 6. The outputs can drift, too. Watch the shares of the predicted classes by the chi-squared test. What
#    does a change there tell you that a change of the inputs does not?
