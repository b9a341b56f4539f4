"""The picture of the README: `python docs/picture.py` writes `docs/picture.svg`.

Left, a staircase and, at some points, the slope that each derivative claims. Right, the derivatives: the error
bar of an estimate by `smooth` is its standard deviation, measured over keys; the line is the exact derivative of the
smoothed staircase, from the normal density at each step. The colors can be read on white and on black.
"""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure

import descend

SIGMA, SAMPLES, KEYS = 0.5, 64, 400
INK, FLAT, OURS = "#8a929c", "#e5534b", "#3f8fe0"


def staircase(x):
    return jnp.floor(x) ** 2 / 4


def smoothed_slope(x):
    """Each step of height h at s adds h times the normal density of (s - x) / SIGMA, over SIGMA."""
    steps = np.arange(-9, 10)
    heights = (steps**2 - (steps - 1) ** 2) / 4
    density = np.exp(-0.5 * ((steps - x[:, None]) / SIGMA) ** 2) / (SIGMA * np.sqrt(2 * np.pi))
    return density @ heights


def main():
    routed = descend.routes.smooth(staircase, sigma=SIGMA, samples=SAMPLES)
    points = jnp.array([-2.5, -1.6, -0.6, 0.4, 1.4, 2.5, 3.3])
    keys = jax.random.split(jax.random.key(0), KEYS)
    estimates = jax.vmap(lambda x: jax.vmap(lambda key: jax.grad(routed)(x, key=key))(keys))(points)
    ours, error = np.asarray(estimates[:, 0]), np.asarray(estimates.std(axis=1))
    plain = np.asarray(jax.vmap(jax.grad(staircase))(points))

    matplotlib.rcParams.update(
        {"svg.hashsalt": "descend", "svg.fonttype": "path", "font.size": 11, "text.color": INK, "axes.edgecolor": INK}
        | dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color"), INK)
    )
    figure = Figure(figsize=(9.6, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = np.linspace(-2.95, 3.95, 2761)
    left.plot(x, staircase(x), color=INK, linewidth=1.8)
    for at, slope, error_at in zip(np.asarray(points), ours, error, strict=True):
        run = np.array([-0.3, 0.3]) / np.hypot(1, slope) * 1.6
        value = float(staircase(at))
        low, high = value + (slope - error_at) * run, value + (slope + error_at) * run
        left.fill_between(at + run, low, high, color=OURS, alpha=0.35, linewidth=0)
        left.plot(at + run, value + slope * run, color=OURS, linewidth=2)
        left.plot(at, value, "o", color=FLAT, markersize=4)
        left.plot(at + np.array([-0.3, 0.3]), [value, value], color=FLAT, linewidth=2)
    left.set(title="a staircase: f = floor(x)² / 4", xlabel="x")
    right.plot(x, smoothed_slope(x), color=INK, linewidth=1, label="smoothed staircase, exactly")
    right.errorbar(points, ours, error, color=OURS, fmt="o", capsize=4, label=f"descend, {SAMPLES} samples")
    right.plot(points, plain, "o", color=FLAT, label="jax.grad: 0 everywhere")
    right.axhline(0, color=FLAT, linewidth=1)
    right.set(title="its derivative", xlabel="x")
    legend = right.legend(frameon=False, loc="upper left")
    for text in legend.get_texts():
        text.set_color(INK)
    for axes in (left, right):
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
    path = pathlib.Path(__file__).with_suffix(".svg")
    figure.savefig(path, transparent=True, metadata={"Date": None})
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
