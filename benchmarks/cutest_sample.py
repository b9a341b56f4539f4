"""CUTEst problems out of `sif2jax`, read one file at a time: which there are, and a stratified random sample of them.

`import sif2jax` builds all of its 849 problems, which takes a minute. Here empty packages stand in for its own, so that
a file is imported alone, in milliseconds.

Some files state inequalities the other way round than the package documents (c(x) >= 0), and some known optimal values
are wrong. Both leave valid problems: they are taken as they are written, and the known values are not used.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import pathlib
import re
import signal
import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np

FOLDERS = ("_unconstrained_minimisation", "_bounded_minimisation", "_constrained_minimisation", "_quadratic_problems")
KINDS = ("unconstrained", "bounds", "constrained")
LARGEST, MOST = 100, 200  # variables and constraint values of the problems that are sampled
LOADING = 20  # seconds, after which a problem is taken to be a large one
CATALOG = pathlib.Path(__file__).with_name("cutest_catalog.txt")
CLASS = re.compile(r"^class (\w+)\((\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A problem as NumPy and JAX functions of a flat vector.

    Attributes:
        name: of the problem.
        objective: x -> scalar.
        constraints: x -> (equalities, inequalities >= 0), two vectors.
        start, lower, upper: shape (n,); the start lies within the bounds.
        equalities, inequalities: how many there are.
    """

    name: str
    objective: Any
    constraints: Any
    start: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    equalities: int
    inequalities: int

    @property
    def kind(self) -> str:
        if self.equalities + self.inequalities:
            return "constrained"
        return "bounds" if np.isfinite(self.lower).any() or np.isfinite(self.upper).any() else "unconstrained"

    @property
    def stratum(self) -> str:
        """By size and by which constraints there are."""
        size = "n<=3" if self.start.size <= 3 else "n<=10" if self.start.size <= 10 else "n>10"
        return f"{size} {'eq' * (self.equalities > 0)}{'in' * (self.inequalities > 0)}"


@functools.cache
def _root() -> pathlib.Path:
    spec = importlib.util.find_spec("sif2jax")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("this benchmark reads sif2jax: pip install 'descend[bench]'")
    return pathlib.Path(spec.submodule_search_locations[0])


def files() -> list[str]:
    """All problems, as "folder/module:class", sorted."""
    found = []
    for folder in FOLDERS:
        for path in sorted((_root() / "cutest" / folder).glob("*.py")):
            for name, base in CLASS.findall(path.read_text()):
                if not name.startswith("_") and "Abstract" not in name and base not in ("ABC", "eqx"):
                    found.append(f"{folder}/{path.stem}:{name}")
    return found


def load(where: str) -> Case:
    """The problem of an entry of `files`."""
    import jax
    import jax.flatten_util
    import jax.numpy as jnp

    folder, module, name = re.split("[/:]", where)
    root = _root()
    for package, path in (
        ("sif2jax", root), ("sif2jax.cutest", root / "cutest"), (f"sif2jax.cutest.{folder}", root / "cutest" / folder)
    ):  # fmt: skip
        if package not in sys.modules:
            stub = types.ModuleType(package)
            stub.__path__ = [str(path)]
            sys.modules[package] = stub
            if package == "sif2jax":
                for key, value in vars(importlib.import_module("sif2jax._problem")).items():
                    if key.startswith("Abstract"):
                        setattr(stub, key, value)
    problem = getattr(importlib.import_module(f"sif2jax.cutest.{folder}.{module}"), name)()
    start, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(lambda a: jnp.asarray(a, float), problem.y0))
    start = np.asarray(start, np.float64)
    bounds = getattr(problem, "bounds", None)
    lower, upper = np.full(start.size, -np.inf), np.full(start.size, np.inf)
    if bounds is not None:
        lower, upper = (np.asarray(jax.flatten_util.ravel_pytree(side)[0], np.float64) for side in bounds)

    def flat(values: Any) -> Any:
        return jnp.zeros(0) if values is None else jax.flatten_util.ravel_pytree(values)[0].astype(float)

    def constraints(x: Any) -> tuple[Any, Any]:
        if not hasattr(problem, "constraint"):
            return jnp.zeros(0), jnp.zeros(0)
        equal, least = problem.constraint(unravel(x))
        return flat(equal), flat(least)

    equal, least = jax.eval_shape(constraints, start)
    jax.eval_shape(lambda x: problem.objective(unravel(x), problem.args), start)  # some are not implemented
    return Case(
        name,
        lambda x: jnp.asarray(problem.objective(unravel(x), problem.args)).reshape(()),
        constraints,
        np.clip(start, lower, upper),
        lower,
        upper,
        equal.size,
        least.size,
    )


def catalog() -> None:
    """Writes `CATALOG`: where, kind and stratum of every problem that loads and is small, one a line."""

    def late(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    lines = []
    for where in files():
        signal.alarm(LOADING)
        try:
            case = load(where)
            signal.alarm(0)
        except Exception:  # a base class, or a file that this JAX cannot run, or a problem that takes long to build
            signal.alarm(0)
            continue
        if 2 <= case.start.size <= LARGEST and case.equalities + case.inequalities <= MOST:
            lines.append(f"{where}\t{case.kind}\t{case.stratum}")
    CATALOG.write_text("\n".join([f"# sif2jax {importlib.metadata.version('sif2jax')}", *lines, ""]))


def draw(seed: int, each: int) -> list[str]:
    """A sample: `each` problems of each kind, spread evenly over its strata, drawn without looking at their names."""
    entries = [line.split("\t") for line in CATALOG.read_text().splitlines() if not line.startswith("#")]
    np.random.default_rng(seed).shuffle(entries)
    chosen = []
    for kind in KINDS:
        strata: dict[str, list[str]] = {}
        for where, of, stratum in entries:
            if of == kind:
                strata.setdefault(stratum, []).append(where)
        rows = [strata[stratum] for stratum in sorted(strata)]
        turn = [row[i] for i in range(max(map(len, rows))) for row in rows if i < len(row)]
        chosen += turn[:each]
    return chosen


if __name__ == "__main__":
    import jax

    jax.config.update("jax_enable_x64", True)
    catalog()
