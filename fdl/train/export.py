"""A trained network as a file that needs no fdl: its compiled form and its parameters, for programs that only use it.

`jax.export` turns the forward pass into StableHLO, which JAX promises to read for years to come, on the platforms
that were asked for and for any batch size. The file is a NumPy archive of that program and of the arrays that it works
on, and is loaded by jax and NumPy alone:

    import jax
    import numpy as np

    with np.load("digits.npz") as file:
        program = jax.export.deserialize(bytearray(file["program"]))
        arrays = jax.device_put([file[f"array{i}"] for i in range(len(file.files) - 2)])
    outputs = program.call(arrays, inputs)

(``pip install jax flatbuffers``; ``program.in_avals`` and ``out_avals`` tell the shapes.) These lines are in the file
as well, as ``file["readme"]``.

The parameters are arguments of the program. Constants in it would save a line here, but for 400 MB of them it took 5 GB
of memory and 8 seconds to compile.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from fdl.data.arrays import count
from fdl.errors import InputError
from fdl.layer import Layer
from fdl.rule import differentiation
from fdl.train.objective import inputs_of
from fdl.train.whole_file import whole_file

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_README = """\
A neural network, exported from JAX. To use it (pip install jax flatbuffers):

import jax
import numpy as np

with np.load("{name}") as file:
    program = jax.export.deserialize(bytearray(file["program"]))
    arrays = jax.device_put([file[f"array{{i}}"] for i in range(len(file.files) - 2)])
outputs = program.call(arrays, inputs)

It takes {inputs} and gives {outputs}.
"""


def export_model(
    path: str | os.PathLike[str],
    net: Layer,
    params: Any,
    state: Any,
    inputs: Any,
    *,
    then: Callable[[Any], Any] | None = None,
    batch_size: int | None = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> None:
    """Writes a network, as it is with ``train=False``, to a file that loads without fdl.

    The module's own text has the lines that load it. Sequences of any length, or images of any size, are inputs with
    symbols among their sizes:

        (length,) = jax.export.symbolic_shape("length", constraints=["length <= 1024"])
        export_model("gpt.npz", net, params, state, jax.ShapeDtypeStruct((1, length), jnp.int32))

    Rules choose the sizes of their blocks by numbers, so that such a program is made of their plain functions: it gives
    the same outputs, but attention holds all of its scores at once. `PositionalEncoding` needs a number.

    Args:
        path: the file, a NumPy archive (.npz); directories are made as needed. It is replaced if it exists.
        net, params, state: a trained network.
        inputs: what goes into it: arrays with one row per example, or their shapes (`jax.ShapeDtypeStruct`), in
            which sizes other than the first may be symbols (`jax.export.symbolic_shape`). Only shapes and dtypes
            are read.
        then: what to do with the outputs, such as `fdl.layers.softmax` for probabilities; nothing if None.
        batch_size: how many examples a call takes; any number, n, if None. A fixed one is for networks whose wiring
            needs a number.
        platforms: where the program is to run: any of "cpu", "cuda", "rocm" and "tpu".

    Raises:
        InputError: for platforms that there are not, for inputs of different lengths, for a symbol n, and for what the
            network finds wrong with the inputs.
        ImportError: without flatbuffers, which JAX writes the program with.

    Source: the format, https://docs.jax.dev/en/latest/export/export.html.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fdl.layers import Affine
        >>> net, x = Affine(3), jnp.ones((10, 5))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "net.npz")
        >>> export_model(file, net, params, state, x)
        >>> with np.load(file) as saved:
        ...     program = jax.export.deserialize(bytearray(saved["program"]))
        ...     arrays = [saved[f"array{i}"] for i in range(len(saved.files) - 2)]
        >>> bool(jnp.allclose(program.call(arrays, x[:4]), net.apply(params, state, x[:4])[0]))
        True
        >>> folder.cleanup()
    """
    if isinstance(platforms, str) or not platforms or not set(platforms) <= set(PLATFORMS):
        raise InputError(f"platforms are a list of any of {', '.join(PLATFORMS)}, got {platforms!r}")
    count(inputs)
    leaves, tree = jax.tree.flatten((params, state))
    dtypes = [leaf.dtype for leaf in map(jnp.asarray, leaves)]

    def program(arrays: list[Any], inputs: Any) -> Any:
        arrays = [
            array if _is_plain(dtype) else jax.lax.bitcast_convert_type(array, dtype)
            for array, dtype in zip(arrays, dtypes, strict=True)
        ]
        params, state = jax.tree.unflatten(tree, arrays)
        outputs, _ = net.apply(params, state, *inputs_of(inputs), key=None, train=False)
        return outputs if then is None else then(outputs)

    arrays = [_plain(np.asarray(leaf)) for leaf in leaves]
    symbols = _symbols(inputs)
    rows: Any = batch_size
    if rows is None:
        (rows,) = jax.export.symbolic_shape("n", scope=symbols[0].scope if symbols else None)
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), jnp.result_type(x)), inputs)
    try:
        with differentiation("autodiff") if symbols else nullcontext():
            exported = jax.export.export(jax.jit(program), platforms=list(platforms))(arrays, like)
    except Exception as error:
        if batch_size is None:
            error.add_note(
                "the batch size is a symbol here: batch_size= fixes it, and x.shape[0] allows it (not len(x))"
            )
        if symbols:
            error.add_note(
                f"so is {symbols[0]}: what has to be known of it is said in "
                f'jax.export.symbolic_shape(..., constraints=["{symbols[0]} <= 1024"])'
            )
        raise
    try:
        written = exported.serialize()
    except ImportError as error:
        raise ImportError('JAX writes programs by flatbuffers: pip install "fdl[train]"') from error
    readme = _README.format(name=os.path.basename(path), inputs=_told(like), outputs=_told(exported.out_avals))
    entries: dict[str, Any] = {"readme": np.array(readme), "program": np.frombuffer(written, np.uint8)}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, **entries | {f"array{i}": array for i, array in enumerate(arrays)})


def _symbols(inputs: Any) -> list[Any]:
    """The sizes that are symbols, but for the first of each array."""
    sizes = [size for leaf in jax.tree.leaves(inputs) for size in leaf.shape[1:] if jax.export.is_symbolic_dim(size)]
    if taken := [size for size in sizes if re.search(r"\bn\b", str(size))]:
        raise InputError(f"n is the number of examples in an exported model: the size {taken[0]} needs another symbol")
    return sizes


def _is_plain(dtype: Any) -> bool:
    """Whether NumPy's own files have this dtype; they have neither bfloat16 nor narrower floats."""
    return np.dtype(dtype).isbuiltin == 1


def _plain(array: np.ndarray) -> np.ndarray:
    return array if _is_plain(array.dtype) else array.view(f"u{array.dtype.itemsize}")


def _told(tree: Any) -> str:
    return ", ".join(f"{leaf.dtype}[{', '.join(map(str, leaf.shape))}]" for leaf in jax.tree.leaves(tree))
