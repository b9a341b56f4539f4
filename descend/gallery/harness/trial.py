"""Runs one system over its seeds and judges its claim."""

import dataclasses
import importlib.util
import logging
import math
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from descend.gallery.harness.headers import Header, find

CONFIRMED = 3.5
"""The paired z-score from which an effect counts as confirmed."""

MARGIN, CONFIRMATION = 0, 1
"""Two streams of keys: on the first an author chooses the margin of a claim, on the second the claim is judged."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came out of one system.

    Attributes:
        header: what the file says.
        ours: results of the system, shape (seeds, ...).
        naive: results of the baseline at the same budget.
        ablated: results of the system without its key ingredient; None where the baseline is that.
        within_margin: whether `holds(ours, naive)`.
        control_breaks: whether it fails, as it must, with the ablated and the naive results in the place of ours.
        why_found: whether `inspect` finds the stated reason in the problem; None where no reason is stated.
        seconds: wall time, compilation included.
    """

    header: Header
    ours: np.ndarray
    naive: np.ndarray
    ablated: np.ndarray | None
    within_margin: bool
    control_breaks: bool
    why_found: bool | None
    seconds: float

    @property
    def z(self) -> float:
        """The paired z-score of ours - naive."""
        return paired_z(self.ours, self.naive)

    @property
    def z_ablated(self) -> float | None:
        """The paired z-score of ours - ablated."""
        return None if self.ablated is None else paired_z(self.ours, self.ablated)

    @property
    def confirmed(self) -> bool:
        """Whether ours differs from the baseline beyond chance."""
        return abs(self.z) >= CONFIRMED

    @property
    def holds(self) -> bool:
        """Whether the claim holds: within its margin, and confirmed unless it says that there is no effect."""
        return self.within_margin and (self.confirmed or self.header.negative)

    def record(self) -> dict[str, Any]:
        """As a JSON object. Results are one number a seed."""
        return {
            "name": self.header.name,
            "system": self.header.system,
            "claim": self.header.claim,
            "holds": self.holds,
            "control_breaks": self.control_breaks,
            "why_found": self.why_found,
            "seeds": self.header.seeds,
            "ours": per_seed(self.ours).tolist(),
            "ablated": None if self.ablated is None else per_seed(self.ablated).tolist(),
            "naive": per_seed(self.naive).tolist(),
            "seconds": round(self.seconds, 2),
        }


def run(name: str | Header, route: Any = None, full: bool = False) -> dict[str, Any]:
    """Runs the system `name` over its confirmation keys and judges its claim: `trial` as a JSON object.

    Raises:
        ValueError, MissingDataError: as `trial`.
    """
    return trial(name, route=route, full=full).record()


def trial(name: str | Header, *, route: Any = None, full: bool = False) -> Trial:
    """Runs the system `name` over its confirmation keys and judges its claim.

    Args:
        name: a module of the gallery, or the header of any file of that form.
        route: a route, or the name of one in `descend.routes`, for systems whose `run` takes one in place of its own.
        full: the heavier version, for systems whose `run` has one.

    Raises:
        ValueError: if there is no such system, it does not take the setting, or a result is missing or not finite.
        MissingDataError: if the data that it needs is not installed.
    """
    header, module = _load(name)
    settings = _settings(header, route, full)
    started = time.perf_counter()
    results = _results(module, header, CONFIRMATION, settings)
    seconds = time.perf_counter() - started
    naive, controls = results["naive"], [results[k] for k in ("ablated", "naive") if k in results]
    return Trial(
        header=header,
        ours=results["ours"],
        naive=naive,
        ablated=results.get("ablated"),
        within_margin=bool(module.holds(results["ours"], naive)),
        control_breaks=not any(bool(module.holds(control, naive)) for control in controls),
        why_found=_why_found(module),
        seconds=seconds,
    )


def margin(name: str | Header, *, full: bool = False) -> dict[str, np.ndarray]:
    """The results on the keys on which an author chooses the margin of a claim: never those of `trial`."""
    header, module = _load(name)
    return _results(module, header, MARGIN, _settings(header, None, full))


def per_seed(results: np.ndarray) -> np.ndarray:
    """One number a seed: the mean over all other axes, shape (seeds,)."""
    return results.reshape(len(results), -1).mean(1)


def paired_z(ours: np.ndarray, other: np.ndarray) -> float:
    """Mean over standard error of the difference between results of the same seeds.

    Infinite where every seed differs by the same amount, 0 where none differs.
    """
    difference = per_seed(ours) - per_seed(other)
    mean, error = difference.mean(), difference.std(ddof=1) / math.sqrt(len(difference))
    if error > 0:
        return float(mean / error)
    return math.copysign(math.inf, mean) if mean else 0.0


def _load(name: str | Header) -> tuple[Header, ModuleType]:
    header = name if isinstance(name, Header) else find(name)
    spec = importlib.util.spec_from_file_location(f"descend.gallery.{header.name}", header.path)
    if spec is None or spec.loader is None:
        raise ValueError(f"gallery {header.name}: {header.path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return header, module


def _results(module: ModuleType, header: Header, stream: int, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    import jax

    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), stream), header.seeds)
    raw = _over(lambda key: module.run(key, **settings), keys, header.name)
    results = {name: np.asarray(value, np.float64) for name, value in raw.items()}
    if not {"ours", "naive"} <= set(results) <= {"ours", "naive", "ablated"}:
        raise ValueError(f"gallery {header.name}: run must return ours, naive and perhaps ablated, got {sorted(raw)}")
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise ValueError(f"gallery {header.name}: a result of {name} is not finite; run must cap what diverges")
    return results


def _over(run: Callable[[Any], dict[str, Any]], keys: Any, name: str) -> dict[str, Any]:
    """`run` for every key at once in one compiled program, or one by one where it cannot be traced."""
    import jax

    from descend.calls import TRACING_ERRORS

    try:
        return jax.jit(jax.vmap(run))(keys)
    except TRACING_ERRORS as error:
        reason = str(error).partition("\n")[0]
        logging.getLogger("descend").warning("gallery %s runs seed by seed: %s", name, reason)
        return jax.tree.map(lambda *values: np.stack(values), *[run(key) for key in keys])


def _why_found(module: ModuleType) -> bool | None:
    if module.WHY is None:
        return None
    import descend

    return module.WHY in {finding.what for finding in descend.inspect(module.problem())}


def _settings(header: Header, route: Any, full: bool) -> dict[str, Any]:
    if isinstance(route, str):
        from descend import routes

        if not hasattr(routes, route):
            raise ValueError(f"no route {route!r} in descend.routes")
        route = getattr(routes, route)
    wanted = {name: value for name, value in (("route", route), ("full", full)) if value}
    for setting in wanted:
        if setting not in header.settings:
            raise ValueError(f"gallery {header.name}: run takes no {setting}=")
    return wanted
