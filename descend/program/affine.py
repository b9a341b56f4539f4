"""Affine forms: arrays as weighted sums of a few others, number by number, as far as reading tells."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

ROUNDING = 64  # units in the last place by which two coefficients that are computed in different ways may differ


class Form(NamedTuple):
    """The sum of weight * atom over `terms`, plus `offset`: all of the shape of the array, or scalars.

    Attributes:
        terms: the weights of the atoms, arrays that are not known to be sums of others.
        offset: what is added.
    """

    terms: dict[Hashable, np.ndarray]
    offset: np.ndarray

    @classmethod
    def of(cls, atom: Hashable, shape: tuple[int, ...]) -> "Form":
        """An atom itself."""
        return cls({atom: np.ones(shape)}, np.zeros(shape))

    def mapped(self, change: Callable[[np.ndarray], np.ndarray], rename: Callable[[Hashable], Hashable]) -> "Form":
        """The form after something that acts alike on all arrays: a reshape, a broadcast."""
        return Form({rename(atom): change(weight) for atom, weight in self.terms.items()}, change(self.offset))

    def shaped(self, shape: tuple[int, ...]) -> "Form":
        """The form with weights of this shape, to which those of scalars are broadcast."""
        return self.mapped(lambda weight: np.broadcast_to(weight, shape), lambda atom: atom)

    def scaled(self, factor: Any) -> "Form":
        """The form times known numbers."""
        return Form({atom: weight * factor for atom, weight in self.terms.items()}, self.offset * factor)

    def plus(self, other: "Form", factor: float = 1.0) -> "Form":
        """The form plus `factor` times another."""
        terms = dict(self.terms)
        for atom, weight in other.terms.items():
            terms[atom] = terms.get(atom, 0.0) + factor * weight
        return Form(terms, self.offset + factor * other.offset)

    def over(self, other: "Form") -> np.ndarray | None:
        """What to multiply `other` by for this form, number by number; None where there is no such factor."""
        atoms = self.terms.keys() | other.terms.keys()
        shape, zero = np.broadcast_shapes(self.offset.shape, other.offset.shape), np.zeros(())
        ours, theirs = (
            np.stack([np.broadcast_to(w, shape) for w in (*(f.terms.get(a, zero) for a in atoms), f.offset)])
            for f in (self, other)
        )
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return None
        length = np.sum(theirs * theirs, axis=0)
        factor = np.sum(ours * theirs, axis=0) / np.where(length > 0, length, 1.0)
        rest = abs(ours - factor * theirs)
        room = ROUNDING * np.finfo(np.float64).eps * (abs(ours) + abs(factor * theirs))
        return factor if np.all(rest <= room) else None


def known(value: Any) -> np.ndarray | None:
    """A constant as float64; None where it is no number."""
    return np.asarray(value, np.float64) if jnp.issubdtype(jnp.result_type(value), jnp.number) else None
