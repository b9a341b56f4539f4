"""Points as trees, without JAX: the leaves by name, and a description of the tree that survives a file.

Names and order are those that JAX gives: dictionaries by sorted key, `layers.0.bias`.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def children(node: Any) -> dict[str, Any] | None:
    """The children of a node by name, or None for a leaf.

    Nodes of other classes are opened by JAX's registry, which is loaded wherever such a class could be registered.
    """
    if isinstance(node, Mapping):
        return {str(name): node[name] for name in _sorted(node)}
    if fields := _fields(node):
        return {name: getattr(node, name) for name in fields}
    if isinstance(node, (tuple, list)):
        return {str(index): child for index, child in enumerate(node)}
    if node is None:
        return {}
    if isinstance(node, (np.ndarray, np.generic, float, int)) or "jax" not in sys.modules:
        return None
    util = sys.modules["jax"].tree_util
    pairs, _ = util.tree_flatten_with_path(node, is_leaf=lambda part: part is not node)
    if len(pairs) == 1 and pairs[0][1] is node:
        return None
    return {util.keystr(path, simple=True, separator="."): child for path, child in pairs}


def leaves(tree: Any, name: str = "") -> list[tuple[str, np.ndarray]]:
    """The leaves with their path names ("" for a tree that is one leaf)."""
    inner = children(tree)
    if inner is None:
        return [(name, np.asarray(tree))]
    return [leaf for key, child in inner.items() for leaf in leaves(child, f"{name}.{key}" if name else key)]


def nested(tree: Any) -> Any:
    """The same tree in dictionaries and lists, with nested lists of numbers for arrays."""
    inner = children(tree)
    if inner is None:
        return np.asarray(tree).tolist()
    if isinstance(tree, (tuple, list)) and not _fields(tree):
        return [nested(child) for child in inner.values()]
    return None if tree is None else {key: nested(child) for key, child in inner.items()}


def structure(tree: Any, name: Callable[[str], str] = str, path: str = "") -> Any:
    """A description in JSON's terms: a string for a leaf (`name` of its path), else `{kind: children}`.

    Kinds are "dict", "list", "tuple" and "none"; any other node is described as a "dict" of its parts.
    """
    inner = children(tree)
    if inner is None:
        return name(path)
    inside = {key: structure(child, name, f"{path}.{key}" if path else key) for key, child in inner.items()}
    if tree is None:
        return {"none": []}
    if isinstance(tree, (tuple, list)) and not _fields(tree):
        return {type(tree).__name__ if type(tree) in (list, tuple) else "list": list(inside.values())}
    return {"dict": inside}


def build(described: Any, leaf: Callable[[str], Any]) -> Any:
    """The tree that `structure` described, with `leaf(name)` for each leaf."""
    if isinstance(described, str):
        return leaf(described)
    ((kind, inner),) = described.items()
    if kind == "dict":
        return {key: build(child, leaf) for key, child in inner.items()}
    if kind == "none":
        return None
    parts = [build(child, leaf) for child in inner]
    return tuple(parts) if kind == "tuple" else parts


def _fields(node: Any) -> tuple[str, ...]:
    """The field names of a named tuple; none for anything else."""
    return getattr(node, "_fields", ()) if isinstance(node, tuple) else ()


def _sorted(keys: Any) -> list:
    try:
        return sorted(keys)
    except TypeError:
        return list(keys)
