"""What comparing routes on one function gives: a table to act on."""

import math
from dataclasses import dataclass, field
from typing import Any

from descend.findings import Trust
from descend.solution.summary import number


@dataclass(frozen=True)
class Measured:
    """One route on one function.

    Attributes:
        name: as given, or as the route is typed.
        gives: what the route declares its derivative to be; "" for a route that declares nothing.
        trust: of one estimate; None where none could be made.
        why: why it is refused, or what is to be distrusted; "" for nothing.
        variance: mean squared distance of one estimate from its mean, in the units of the gradient squared.
        variance_se: its standard error.
        needed: estimates to be averaged for the wanted cosine: at least 1, infinite if bias forbids it.
        units: evaluations for one value and gradient, a gradient by differentiation counting 3; NaN if not declared.
        seconds: for one value and gradient, compiled: the median.
        compilation: seconds of the first call beyond that.
    """

    name: str
    gives: str = ""
    trust: Trust | None = None
    why: str = ""
    variance: float = math.nan
    variance_se: float = math.nan
    needed: float = math.inf
    units: float = math.nan
    seconds: float = math.nan
    compilation: float = math.nan

    @property
    def verdict(self) -> str:
        """That of the trust; refused where there is none."""
        return "refused" if self.trust is None else self.trust.verdict

    def record(self) -> dict[str, Any]:
        """As a JSON object; numbers that are not finite are null."""
        trust = None if self.trust is None else {k: _plain(v) for k, v in self.trust._asdict().items()}
        own = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "trust"}
        return own | {"verdict": self.verdict, "trust": trust}


@dataclass(frozen=True)
class Comparison:
    """Routes on one function at one point, against one reference; `print` it.

    Attributes:
        rows: one for each route, in the order given.
        function: its name.
        size: how many numbers are differentiated.
        reference: what the estimates are compared with.
        length: |reference|, of the unbiased square.
        wanted: the cosine that `Measured.needed` is about.
        why: why every route is refused, where that is so; else "".
        units: evaluations that the comparison took; a gradient by differentiation counts 3.
    """

    rows: list[Measured] = field(default_factory=list)
    function: str = ""
    size: int = 0
    reference: str = ""
    length: float = math.nan
    wanted: float = 0.9
    why: str = ""
    units: int = 0

    @property
    def best(self) -> Measured | None:
        """The route that reaches the wanted cosine in the least time; None if none does."""
        able = [row for row in self.rows if row.verdict != "refused" and math.isfinite(row.needed * row.seconds)]
        return min(able, key=lambda row: row.needed * row.seconds, default=None)

    def __getitem__(self, name: str) -> Measured:
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise KeyError(f"no route {name!r}; there are {', '.join(row.name for row in self.rows)}")
        return found[0]

    def table(self) -> list[list[str]]:
        """Cells as text, the header first."""
        header = ["route", "verdict", "cosine", "bias", "noise", "estimates", "units", "seconds"]
        return [header, *map(self._cells, self.rows)]

    def _cells(self, row: Measured) -> list[str]:
        if row.trust is None:
            return [row.name, row.verdict, *["-"] * 6]
        trust = Trust(*map(float, row.trust))
        numbers = [_with_error(trust.cosine, trust.cosine_se), _with_error(trust.bias, trust.bias_se)]
        cost = [number(row.needed * row.units, 3), number(row.needed * row.seconds, 3)]
        return [row.name, row.verdict, *numbers, number(trust.noise, 3), number(row.needed, 3), *cost]

    def __str__(self) -> str:
        rows = self.table()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(row[i].ljust(width) if i < 2 else row[i].rjust(width) for i, width in enumerate(widths))
            for row in rows
        ]
        best = self.best
        goal = f"a cosine of {self.wanted:g}"
        said = [f"{row.name}: {row.why}" for row in self.rows if row.why and row.why != self.why]
        return "\n".join(
            [
                f"{self.function}, {self.size:,} numbers, against {self.reference}",
                *([f"every route is refused: {self.why}"] if self.why else []),
                "",
                *(line.rstrip() for line in lines),
                "",
                *said,
                *([f"estimates, units, seconds: to {goal}; in the least time by {best.name}"] if best else []),
            ]
        ).rstrip()

    def record(self) -> dict[str, Any]:
        """As a JSON object; numbers that are not finite are null."""
        own = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "rows"}
        best = self.best
        return own | {"best": best and best.name, "rows": [row.record() for row in self.rows]}


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int)):
        return value
    return float(value) if math.isfinite(value) else None


def _with_error(value: float, error: float) -> str:
    """A number with as many decimals as its error is known to."""
    if not (math.isfinite(value) and math.isfinite(error) and abs(value) < 1e4):
        return number(value, 3)
    decimals = 3 if error <= 0 else max(0, min(6, 1 - math.floor(math.log10(error))))
    return f"{value:.{decimals}f}" + (f" ± {error:.{decimals}f}" if error > 0 else "")
