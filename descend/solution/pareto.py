"""Sets of values of several objectives: which are dominated, and how much they dominate. All are minimized here."""

import numpy as np


def nondominated(values: np.ndarray) -> np.ndarray:
    """Which rows of values, shape (k, m), no other row is at least as good as in all columns and better in one.

    Returns:
        Booleans of shape (k,). Of equal rows the first counts. Time k^2 m.
    """
    values = np.asarray(values, np.float64)
    no_worse = np.all(values[:, None] <= values[None], axis=2)
    better = np.any(values[:, None] < values[None], axis=2)
    earlier = np.arange(len(values))[:, None] < np.arange(len(values))[None]
    return ~np.any(no_worse & (better | earlier), axis=0) & np.all(np.isfinite(values), axis=1)


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """The volume of what lies between a reference point and the points that dominate it.

    Args:
        values: shape (k, m).
        reference: shape (m,).

    Returns:
        The volume; 0 if no point dominates the reference. Exact, by slices along the last objective: time k^(m - 1).

    Source: Zitzler and Thiele, "Multiobjective evolutionary algorithms" (1999).
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    values = values[np.all(values < reference, axis=1)]
    if not len(values):
        return 0.0
    if values.shape[1] == 1:
        return float(reference[0] - values.min())
    order = values[np.argsort(values[:, -1])]
    edges = np.append(order[:, -1], reference[-1])
    slabs = [hypervolume(order[: i + 1, :-1], reference[:-1]) for i in range(len(order))]
    return float(np.sum(np.diff(edges) * slabs))


def lattice(count: int, objectives: int) -> np.ndarray:
    """`count` weight vectors spread over the simplex, shape (count, objectives), the corners first.

    Raises:
        ValueError: if there are fewer than corners.
    """
    if count < objectives:
        raise ValueError(f"a front of {objectives} objectives needs at least {objectives} points, got {count}")
    if objectives == 1:
        return np.ones((1, 1))
    if objectives == 2:
        inner = np.arange(1, count - 1) / (count - 1)
        return np.concatenate([np.eye(2), np.stack([1 - inner, inner], 1)])
    steps, grid = 1, np.eye(objectives)
    while len(grid) < count:
        steps += 1
        whole = np.stack(np.meshgrid(*[np.arange(steps + 1)] * (objectives - 1), indexing="ij"), -1)
        whole = whole.reshape(-1, objectives - 1)
        whole = whole[whole.sum(1) <= steps]
        grid = np.concatenate([whole, steps - whole.sum(1, keepdims=True)], 1) / steps
    chosen = list(np.eye(objectives))
    while len(chosen) < count:  # the point farthest from those chosen
        gaps = np.min(np.linalg.norm(grid[:, None] - np.stack(chosen)[None], axis=2), axis=1)
        chosen.append(grid[np.argmax(gaps)])
    return np.stack(chosen)
