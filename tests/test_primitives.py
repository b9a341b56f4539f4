"""Every primitive of the installed JAX is in a table of the reader, or is refused on purpose: a new JAX fails here."""

import importlib
import pkgutil
import sys
import warnings

import jax
import pytest
from jax.extend.core import Primitive, primitives

from descend.program import compat, moves, parts, rules, tables

MODULES = (
    "jax.custom_derivatives jax.debug jax.experimental.pallas jax.experimental.shard_map jax.image jax.lax.linalg"
    " jax.nn jax.random jax.scipy.linalg jax.scipy.ndimage jax.scipy.optimize jax.scipy.signal"
    " jax.scipy.sparse.linalg jax.scipy.special"
).split()


def installed() -> set[str]:
    """The names of the primitives that the modules of JAX define."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            try:
                importlib.import_module(name)
            except ImportError:
                continue
        for module in pkgutil.iter_modules(jax._src.lax.__path__, "jax._src.lax."):
            importlib.import_module(module.name)
    found = {p.name for p in vars(primitives).values() if isinstance(p, Primitive)}
    for name, module in list(sys.modules.items()):
        if name.startswith("jax._src"):
            found |= {p.name for p in list(vars(module).values()) if isinstance(p, Primitive)}
    return found


def read_by_rules() -> frozenset[str]:
    return tables.READ | compat.CALLS | compat.CALLBACKS | frozenset("select_n sort top_k scan while cond".split())


def test_every_primitive_is_read_or_refused():
    found = installed()
    assert len(found) > 200  # so that the discovery itself cannot fail unseen
    unknown = sorted(name for name in found - read_by_rules() if not tables.is_refused(name))
    assert not unknown, f"neither in a table of descend/program/tables.py nor refused there: {', '.join(unknown)}"


def test_nothing_is_both_read_and_refused():
    assert not [name for name in read_by_rules() if tables.is_refused(name)]


def test_the_tables_name_primitives_that_exist():
    """One name in ten may be of another version of JAX."""
    found = installed()
    missing = sorted(tables.READ - found)
    assert len(missing) < 0.1 * len(tables.READ), missing


@pytest.mark.parametrize("table", [moves.MOVES, rules.RULES, parts.LOOPS, moves.CONTROLS])
def test_the_rules_of_the_structure_are_for_primitives_that_are_read(table):
    assert set(table) <= read_by_rules()
