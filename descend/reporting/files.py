"""Files that are there whole or not at all, also when the program is killed while it writes."""

import contextlib
import os
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path`, which takes its place when the block ends well.

    Raises:
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as file:
        file.write(text.encode())


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an npz file atomically. Any name may be used (`numpy.savez` refuses some), and nothing is pickled."""
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, by name.

    Raises:
        ValueError: if the file is torn or is not an npz file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, EOFError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a whole npz file ({error})") from None
