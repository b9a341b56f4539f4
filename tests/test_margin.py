"""The user's source with findings in its margin."""

import io

import jax.numpy as jnp
import numpy as np

import descend
from descend.engine import account
from descend.program.source import excerpts
from descend.reporting.margin import listings
from descend.reporting.terminal import show_findings


def outer(x):
    def inner(y):
        return jnp.round(3 * y)

    kinked = jnp.abs(x)
    return jnp.sum(inner(x)) + jnp.sum(kinked)


FIRST = outer.__code__.co_firstlineno


def test_whole_functions_are_shown_with_words_beside_their_lines():
    found = descend.inspect(outer, at=np.array([0.3, -0.4]), thorough=False)
    (listing,) = listings(found, account.source(found))
    (piece,) = listing.pieces
    assert [row.number for row in piece] == list(range(FIRST, FIRST + 6))
    assert {row.number - FIRST: row.words for row in piece if row.words} == {2: ("flat",), 4: ("kinked",)}
    assert piece[0].text == "def outer(x):" and piece[2].text == "        return jnp.round(3 * y)"


def test_the_terminal_shows_the_margin_at_any_width():
    found = descend.inspect(outer, at=np.array([0.3, -0.4]), thorough=False)
    for width in ("40", "200"):
        out = io.StringIO()
        console_width = {"COLUMNS": width}
        with _environment(console_width):
            show_findings(found, account.source(found), out)
        rows = [line for line in out.getvalue().splitlines() if " | " in line]
        assert [line.strip().endswith("<- flat") for line in rows].count(True) == 1
        assert [line.strip().endswith("<- kinked") for line in rows].count(True) == 1
        assert max(map(len, rows)) <= int(width)


def test_long_functions_and_places_without_source(tmp_path):
    long = tmp_path / "long.py"
    long.write_text("def f(x):\n" + "".join(f"    x = x + {i}\n" for i in range(200)) + "    return x\n")
    lines = excerpts([(str(long), 100), (str(long), 150), ("<string>", 3)])
    assert sorted(lines[str(long)]) == [*range(94, 107), *range(144, 157)]
    assert lines["<string>"] == {3: ""}
    finding = descend.findings.Finding("flat", {"file": "<string>", "line": 3})
    assert listings([finding], lines) == []
    broken = tmp_path / "broken.py"
    broken.write_text("def f(:\n")
    assert excerpts([(str(broken), 1)]) == {str(broken): {1: "def f(:"}}
    assert excerpts([(str(broken), 9)])[str(broken)][9] == ""


def _environment(values):
    from unittest import mock

    return mock.patch.dict("os.environ", values)
