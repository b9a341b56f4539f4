"""Which version of a package is installed."""

from importlib import metadata


def version(name: str) -> str:
    """The version, or "unknown" for a package that runs without being installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"
