"""Which version of a package is installed."""

import functools
from importlib import metadata


@functools.cache
def version(name: str) -> str:
    """The version, or "unknown" for a package that runs without being installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"
