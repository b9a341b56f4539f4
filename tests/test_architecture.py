"""The order of the imports is the architecture."""

import ast
import pathlib
import subprocess
import sys

import pytest

import descend

PACKAGE = pathlib.Path(descend.__file__).parent
HOUSE = (
    "threads numerics draws domains constraints calls problem findings program relax implicit routes optimizers "
    "solution solvers inspection reporting engine layers auto laws datasets gallery loading check worker launch heard "
    "running cli __main__"
).split()
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The rooms that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "descend":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("descend."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("descend."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_left(path):
    here = HOUSE.index(room(path))
    for name in imported(path):
        if name in HOUSE:
            assert HOUSE.index(name) <= here, f"{path.name} in {room(path)} imports {name}, which stands to its right"


def test_no_system_is_imported():
    systems = {path.stem for path in (PACKAGE / "gallery").glob("*.py")} - {"__init__"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "descend.gallery":
                assert not systems & {alias.name for alias in node.names}, path
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("descend.gallery."):
                assert node.module.split(".")[2] not in systems, path


def test_no_private_modules():
    assert not [path for path in FILES if path.name.startswith("_") and path.name not in ("__init__.py", "__main__.py")]


def test_files_are_short():
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in FILES}
    long = {name: count for name, count in lengths.items() if count > 325}
    assert not long


def test_the_package_and_its_records_do_not_import_jax():
    code = "import descend, descend.solution, descend.reporting, descend.cli, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_user_types_is_there():
    for name in descend.__all__:
        assert getattr(descend, name) is not None, name
