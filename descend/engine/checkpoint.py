"""Checkpoints: one file of arrays and JSON, without pickle, replaced atomically."""

import contextlib
import json
import os
import pathlib
import zipfile
from typing import Any

import jax
import numpy as np


def prepare(path: pathlib.Path) -> None:
    """Makes sure, before anything is computed, that a checkpoint can be written.

    Raises:
        OSError: if it cannot.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(21, "a checkpoint is a file, this is a folder", str(path))
    with open(_beside(path), "wb"):
        pass
    _beside(path).unlink()


def save(path: pathlib.Path, tree: Any, meta: dict[str, Any]) -> None:
    """Write the leaves of `tree` and `meta` to `path`, so that a reader sees the old file or the new one, never half.

    Raises:
        OSError: if the folder cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    for index, leaf in enumerate(jax.tree.leaves(tree)):
        arrays[f"leaf{index}"], kind = _to_numpy(leaf)
        if kind:
            arrays[f"kind{index}"] = np.array(kind)
    arrays["meta"] = np.array(json.dumps(meta))
    # Always the same name: what a killed process leaves behind is overwritten by the next one.
    temporary = _beside(path)
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


class TornError(Exception):
    """The file is not a whole checkpoint."""


def load(path: pathlib.Path) -> tuple[list[Any], dict[str, Any]]:
    """The leaves and the meta of a checkpoint.

    Raises:
        FileNotFoundError: if there is none.
        TornError: if it cannot be read.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            count = sum(name.startswith("leaf") for name in file.files)
            kinds = [str(file[f"kind{i}"]) if f"kind{i}" in file.files else "" for i in range(count)]
            leaves = [_from_numpy(file[f"leaf{i}"], kinds[i]) for i in range(count)]
    except FileNotFoundError:
        raise
    except (EOFError, OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise TornError(f"{path} is not a whole checkpoint: {error}") from None
    return leaves, meta


def _beside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".{path.name}.part")


def _to_numpy(leaf: Any) -> tuple[np.ndarray, str]:
    """An array that npz can hold, and what it was: "jax", "key NAME", or a dtype that npz does not know."""
    if isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf)), f"key {jax.random.key_impl(leaf)}"
    array = np.asarray(leaf)
    where = "jax" if isinstance(leaf, jax.Array) else ""
    if array.dtype.kind == "V":  # bfloat16 and its kin
        return array.view(f"u{array.dtype.itemsize}"), f"{where} {array.dtype.name}"
    return array, where


def _from_numpy(array: np.ndarray, kind: str) -> Any:
    where, _, name = kind.partition(" ")
    if where == "key":
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=name)
    if name:
        array = array.view(jax.numpy.dtype(name))
    return jax.numpy.asarray(array) if where == "jax" else array
