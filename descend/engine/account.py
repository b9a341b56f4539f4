"""How a solution came about, for whoever wants to run it again."""

import sys
from typing import Any

import jax
import jax.numpy as jnp

from descend.findings import Findings
from descend.program.source import excerpts
from descend.reporting.versions import version
from descend.solution import Budget

PACKAGES = ("descend", "jax", "jaxlib", "numpy", "optax")


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a run computes, by name."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}}


def settings(key: Any, budget: Budget) -> dict[str, Any]:
    """What `Solution.settings` holds."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    said = jax.random.key_data(key).tolist() if typed else key.tolist() if hasattr(key, "tolist") else key
    limits = {name: limit for name, limit in vars(budget).items() if limit is not None}
    return {"key": said, "precision": str(jnp.result_type(float)), "budget": limits, **versions()}


def source(findings: Findings) -> dict[str, dict[int, str]]:
    """The user's functions that findings point into: file -> line number -> text."""
    return excerpts((f.where["file"], f.where["line"]) for f in findings if "file" in f.where)
