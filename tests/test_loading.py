"""What the command line names: problems in files, points, routes and solvers."""

import numpy as np
import pytest
from commandline import PROBLEMS

import descend
from descend import loading
from descend.solvers import CMA, Population


def test_names_in_files(tmp_path):
    problem = loading.problem(PROBLEMS / "quadratic.py", "problem")
    assert isinstance(problem, descend.Problem) and loading.problem(PROBLEMS / "quadratic.py", "stated").subject_to
    for name, said in [
        ("problen", "quadratic.py:problem?"),
        ("zzz", "there is .*quadratic.py:problem"),
        ("number", "of type int"),
    ]:
        with pytest.raises(loading.InputError, match=said):
            loading.problem(PROBLEMS / "quadratic.py", name)
    (tmp_path / "bad.py").write_text("x = 1\ny = (2,\n")
    with pytest.raises(loading.InputError, match=r'bad.py", line 2(.|\n)*SyntaxError'):
        loading.module(tmp_path / "bad.py")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(loading.InputError, match=r"called sys.exit\(3\)"):
        loading.module(tmp_path / "leaves.py")


def test_points_on_the_command_line(tmp_path):
    assert loading.point("3").shape == (3,) and loading.point("4,5").shape == loading.point("(4x5)").shape == (4, 5)
    assert loading.point("()").shape == ()
    problem = loading.problem(PROBLEMS / "maximized.py", "problem")
    np.savez(tmp_path / "at.npz", a=np.array(0.25), b=np.array([0.5, 1.0]))
    at = loading.point(str(tmp_path / "at.npz"), problem)
    assert at["a"] == 0.25 and np.array_equal(at["b"], [0.5, 1.0])
    assert set(loading.point(str(tmp_path / "at.npz"))) == {"a", "b"}
    np.savez(tmp_path / "less.npz", a=np.array(0.25), bb=np.array([0.5, 1.0]))
    for text, stated, said in [
        ("3", problem, "knows its own shapes"),
        ("three", None, "expected a shape"),
        (str(tmp_path / "less.npz"), problem, "no array 'b'; did you mean bb"),
        (str(tmp_path / "none.npz"), None, "No such file"),
        (str(PROBLEMS / "quadratic.py.npz"), None, "No such file"),
    ]:
        with pytest.raises(loading.InputError, match=said):
            loading.point(text, stated)


def test_routes_and_solvers_on_the_command_line():
    solvers = loading.solvers()
    assert isinstance(loading.made("cma", solvers, "--solver"), CMA)
    assert loading.made("Population(size=40)", solvers, "--solver") == Population(size=40)
    assert loading.made("descend.solvers.population(size=40)", solvers, "--solver") == Population(size=40)
    assert "Solver" not in solvers and "Values" not in solvers
    smooth = loading.made("smooth(sigma=0.1)", loading.routes(), "--route")
    value = smooth(lambda x: (x**2).sum())(np.ones(2))
    assert float(value) == 2.0
    for text, said in [
        ("Popluation()", "did you mean Population?"),
        ("Population(sice=40)", "it takes Population"),
        ("Population(40)", "expected a name"),
        ("Population(size=open('x'))", "it takes Population"),
        ("__import__('os')", "expected a name"),
        ("Population(**{})", "expected a name"),
        ("Population(", "expected a name"),
        ("lambda: 1", "expected a name"),
        ("", "expected a name"),
    ]:
        with pytest.raises(loading.InputError, match=said.replace("(", r"\(")):
            loading.made(text, solvers, "--solver")
