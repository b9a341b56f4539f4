"""Published systems, one file each: the claim, the problem as a user would write it, and the experiment.

Every module in this folder is a system, and nothing imports it: a file is its own registration. `harness` finds them,
checks their form, runs them over seeds and writes down what came out.
"""

from descend.gallery.harness import Header, Trial, bench, headers, margin, run, table, trial

__all__ = ["Header", "Trial", "bench", "headers", "margin", "run", "table", "trial"]
