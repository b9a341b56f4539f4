"""Rows of results, appended to a file, and which of them are out of date."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Iterable
from typing import Any

from descend.gallery.harness.code import fingerprint
from descend.gallery.harness.headers import Header, find, headers
from descend.gallery.harness.results import RESULTS, latest
from descend.gallery.harness.table import PAGE, page
from descend.gallery.harness.trial import Trial, per_seed, trial


def bench(
    names: Iterable[str | Header] = (), *, full: bool = False, path: pathlib.Path = RESULTS
) -> list[dict[str, Any]]:
    """Runs systems and appends one row each, whatever came out.

    Args:
        names: which (default: all).
        full: the heavier version of those that have one.
        path: the file of rows; by default that of the source checkout, and then the page of the documentation is
            written anew.

    Raises:
        ValueError: if a system is unknown, or there is no folder to write into.
        MissingDataError: if the data that a system needs is not installed.
    """
    if not path.parent.is_dir():
        raise ValueError(f"no folder {path.parent} for the results: run this in a source checkout, or give path=")
    chosen = [name if isinstance(name, Header) else find(name) for name in names] or headers()
    rows = []
    for header in chosen:
        heavy = full and "full" in header.settings
        rows.append(row(trial(header, full=heavy), full=heavy))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    if path == RESULTS:
        PAGE.write_text(page(), encoding="utf-8")
    return rows


def row(outcome: Trial, full: bool) -> dict[str, Any]:
    """One result with what is needed to judge and to repeat it."""
    import jax

    device = jax.devices()[0]
    record = outcome.record()
    for name in ("ours", "ablated", "naive"):
        results = getattr(outcome, name)
        if results is not None:
            values = per_seed(results)
            record[name] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "n": len(values)}
    packages = ("jax", "jaxlib", "numpy", "optax")
    return record | {
        "z": outcome.z,
        "z_ablated": outcome.z_ablated,
        "confirmed": outcome.confirmed,
        "full": full,
        "precision": str(jax.numpy.result_type(float)),
        "date": datetime.date.today().isoformat(),
        "device": f"{device.platform}, {device.device_kind}, {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
        "code": fingerprint(outcome.header.path),
    }


def stale(path: pathlib.Path = RESULTS, systems: Iterable[Header] | None = None) -> list[str]:
    """The systems whose last row is missing, or was made by other code or for another claim, with the reason."""
    rows, found = latest(path), []
    for header in headers() if systems is None else systems:
        last = rows.get(header.name)
        if last is None:
            found.append(f"{header.name}: no row")
        elif last["claim"] != header.claim:
            found.append(f"{header.name}: the claim has changed since {last['date']}")
        elif last["code"] != fingerprint(header.path):
            found.append(f"{header.name}: the code has changed since {last['date']}")
    return found
