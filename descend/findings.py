"""Records of what `inspect` finds: `Finding`, `Findings`, `Trust`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WORDS = (
    "smooth", "kinked", "flat", "jumps", "uninformative", "discrete", "stochastic", "chaotic", "nested",
    "ill-conditioned", "underdetermined", "black-box", "conflicting", "constrained", "infeasible", "unbounded",
    "non-finite", "unread",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing found about a problem.

    Attributes:
        what: one word of `WORDS`.
        where: `{"file", "line"}` in the user's source, or `{"variable"}`, `{"constraint"}`, `{"objective"}` by name.
        evidence: the numbers, by name, and under `how` how they were got: "static", "probed" or "static and probed".
        cure: the route or solver that helps, as it would be typed; "" where none is needed.
    """

    what: str
    where: dict[str, Any]
    evidence: dict[str, Any] = field(default_factory=dict)
    cure: str = ""

    def __post_init__(self) -> None:
        if self.what not in WORDS:
            raise ValueError(f"{self.what!r} is not a word for a finding; the words are {', '.join(WORDS)}")

    def place(self) -> str:
        """Where, in a few words: `model.py:14`, `variable w`."""
        if "file" in self.where:
            return f"{self.where['file']}:{self.where['line']}"
        return " ".join(f"{kind} {name}" for kind, name in self.where.items())

    def __str__(self) -> str:
        return f"{self.place()}  {self.what}" + (f" -> {self.cure}" if self.cure else "")

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"what": self.what, "where": self.where, "evidence": self.evidence, "cure": self.cure}


class Findings(list[Finding]):
    """A list of findings, printed one a line, with what they cost.

    Attributes:
        evaluations: how many evaluations the probing took, in units of one value (a gradient counts 3).
        trust: the `Trust` of the plain gradient where it was measured, else None.
    """

    def __init__(self, findings: Iterable[Finding] = (), evaluations: int = 0, trust: "Trust | None" = None):
        super().__init__(findings)
        self.evaluations = evaluations
        self.trust = trust

    @property
    def words(self) -> set[str]:
        """The words said."""
        return {finding.what for finding in self}

    def about(self, what: str) -> list[Finding]:
        """The findings with that word."""
        return [finding for finding in self if finding.what == what]

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "nothing found"


_remembered: dict[str, int] = {}


def remembered(said: str) -> int:
    """A number that stands for a text, so that it passes through compiled code among numbers; `recalled` undoes it."""
    return _remembered.setdefault(said, len(_remembered))


def recalled(number: Any) -> str:
    """The text that a number stands for; "" for numbers that stand for none, in this process."""
    return next((said for said, each in _remembered.items() if each == number), "")


MISSED = 0.3
"""The share of what values do along a descent that may happen at jumps and steps which a derivative does not see."""


STEEP = 10.0
"""How many times as steep as over the distance an estimate may be at the point."""


class Trust(NamedTuple):
    """How far one gradient estimate can be trusted. A pytree of float scalars.

    Attributes:
        cosine: between the estimate and the finite-scale descent direction, in [-1, 1].
        cosine_se: its standard error.
        bias: |mean estimate - reference| / |reference|, where the reference is the finite-scale gradient.
        bias_se: its standard error.
        noise: standard deviation of one estimate over |reference|.
        samples: how many estimates must be averaged for a cosine of 0.9 (infinite if bias forbids it); bias that is not
            three errors above 0 is taken for none.
        gain: |mean estimate| / |reference|: how much steeper the estimate is than what values do over the distance.
        resolution: the share of the reference that the rounding of values could make up.
        signal: significance of the reference, in standard deviations: whether values have a slope over the distance.
        failed: the share of values that are not finite among those that a route that draws asks for; 0 for others.
            Routes leave them out of their means.
        unseen: of what values do along a descent, the share that happens at jumps and steps, for estimates that see the
            function at the point alone; 0 for others.
        nearest: the distance to the first of those jumps along the descent; infinite if there is none.
        line: a number that stands for the line that does most of it, or is kinked within the distance (`recalled`); -1
            for none.
    """

    cosine: Any
    cosine_se: Any
    bias: Any
    bias_se: Any
    noise: Any
    samples: Any
    gain: Any = math.nan
    resolution: Any = math.nan
    signal: Any = math.nan
    failed: Any = 0.0
    unseen: Any = 0.0
    nearest: Any = math.inf
    line: Any = -1.0

    @property
    def verdict(self) -> str:
        """One of the words that routes declare, in the light of the numbers: exact, unbiased, biased or refused.

        Refused is a cosine that is not three errors above 0, and a mean more than ten times as long as the finite-scale
        gradient: whatever its direction, steps of that length mean nothing. So is an estimate that does not see the
        jumps and steps which make up 0.3 or more of what values do along the descent.
        """
        if self.unseen > MISSED:
            return "refused"
        if not self.cosine > 3 * self.cosine_se or self._steep:
            return "refused"
        if max(self.bias, self.bias_se, self.noise) < 1e-3:
            return "exact"
        return "unbiased" if self.bias < 3 * self.bias_se else "biased"

    @property
    def _steep(self) -> bool:
        """Whether the mean is too long: not only the mean of a few estimates, which noise makes long."""
        return bool(self.gain > STEEP and self.bias > 3 * self.bias_se)

    def cosine_of(self, count: float) -> float:
        """The cosine of the mean of so many estimates; bias that is not three errors above 0 is taken for none.

        It is c g / sqrt(gain^2 + noise^2 / N), where c is that of one estimate and g^2 = gain^2 + noise^2.
        """
        along, gain = self._mean()
        return along / math.hypot(gain, float(self.noise) / math.sqrt(count))

    def samples_for(self, cosine: float) -> float:
        """How many estimates must be averaged for this cosine, at least 1; infinite if bias forbids it."""
        along, gain = self._mean()
        slack = math.copysign(along**2, along) - (cosine * gain) ** 2
        return max(1.0, (cosine * float(self.noise)) ** 2 / slack) if slack > 0 else math.inf

    def _mean(self) -> tuple[float, float]:
        """The mean estimate along the reference, and its length, over the length of the reference."""
        if self.bias < 3 * self.bias_se:
            return 1.0, 1.0
        return float(self.cosine) * math.hypot(self.gain, self.noise), float(self.gain)

    @property
    def why(self) -> str:
        """What the numbers say against the estimate, in one line; "" where they say nothing against it."""
        lost = f"{self.failed:.2g} of the values drawn are not finite and were left out" if self.failed > 0 else ""
        blind = f"it does not see that the function {self.missed}" if self.missed and self._against else ""
        return "; ".join(filter(None, (self._against, blind, lost)))

    @property
    def missed(self) -> str:
        """The line that breaks the derivative along the descent, in words: `jumps at model.py:12`; "" for none."""
        return recalled(float(self.line))

    @property
    def _against(self) -> str:
        """What the moments say against the estimate."""
        if self.verdict == "biased":
            return f"its mean is off by {self.bias:.2g} of the finite-scale gradient"
        if self.verdict != "refused":
            return ""
        if self.unseen > MISSED:
            first = f"the first {float(self.nearest):.2g} away"
            if self.gain < 1e-6 and self.noise < 1e-6:
                return f"the estimate is zero, and the value changes at jumps, {first}"
            return f"{self.unseen:.2g} of what values do along the descent happens at jumps, {first}"
        if not all(map(math.isfinite, (self.cosine, self.noise, self.gain))):
            return "the estimate or the value is not finite"
        if self.resolution > 0.3:
            return "values move less over the distance than they are rounded"
        if self.gain < 1e-6 and self.noise < 1e-6:
            still = "does not change" if self.signal == 0 else "changes"
            return f"the estimate is zero, and the value {still} over the distance"
        if self.signal < 3:
            return (
                "no slope shows through the noise over the distance: an uninformative objective, too short a "
                "distance, or more dimensions than directions were paid for"
            )
        if self._steep:
            return (
                f"{self.gain:.2g} times as steep at the point as over the distance: a horizon beyond the Lyapunov "
                "time, or a cliff narrower than the distance"
            )
        if self.cosine < -3 * self.cosine_se:
            return "it points uphill"
        if self.noise > 3 * self.gain:
            return f"noise of {self.noise:.2g} times the gradient: more dimensions than directions were paid for"
        return "its direction has nothing to do with what values do over the distance"
