"""Finds the systems of the gallery, checks their form, runs them over seeds, writes down what came out.

Importing this does not import JAX, so that listing the gallery is immediate.
"""

from descend.gallery.harness.bench import bench, stale
from descend.gallery.harness.code import fingerprint
from descend.gallery.harness.form import faults
from descend.gallery.harness.headers import Header, headers, systems
from descend.gallery.harness.results import latest
from descend.gallery.harness.table import page, table
from descend.gallery.harness.trial import Trial, margin, paired_z, run, trial

__all__ = [
    "Header",
    "Trial",
    "bench",
    "faults",
    "fingerprint",
    "headers",
    "latest",
    "margin",
    "page",
    "paired_z",
    "run",
    "stale",
    "systems",
    "table",
    "trial",
]
