"""`Problem`: an objective, the domain of its variables, and conditions on them."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend import calls, numerics
from descend.constraints import Constraint, as_constraints
from descend.domains import Product

LONG = 500  # equations, from which tracing them again and again would take most of the time


class Evaluation(NamedTuple):
    """What one evaluation of a problem gives.

    Attributes:
        loss: the objective, negated where it is maximized: a float scalar to be made small.
        constraints: the value of each constraint's function, in order.
        objectives: where there are several, the loss of each, in the order of `Problem.objectives`.
    """

    loss: Any
    constraints: tuple[Any, ...]
    objectives: tuple[Any, ...] = ()


class Inputs(NamedTuple):
    """What a compiled program over a problem takes as arguments, so that it need not be compiled again."""

    given: Any
    data: Any
    parameters: Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """An optimization problem.

    Args:
        objective: a function of a point shaped like `over`, with arrays in place of the domains, that returns a float
            scalar, or a dict of named ones: several objectives. Traceable JAX code, or any Python: then it is a black
            box and gets float64 NumPy arrays. It may also take, by these keyword names, `key` (it is random; a black
            box gets `uint32` numbers for `numpy.random.default_rng`), `batch` (it is an average over `data`) and
            `given`.
        over: a domain, or a pytree of domains.
        subject_to: constraints; their functions take the same arguments as the objective.
        sense: "min" or "max".
        given: a pytree of parameters, handed to functions that name `given`. `problem.at(given)` restates the problem.
        data: a pytree of arrays with equal leading axes, handed in rows to functions that name `batch`.
        batch_size: how many rows a stochastic step sees. None: all of them, always, and then the objective need not be
            an average.
        judge: a function of x in the sense of the objective, such as a score on held-out data. The incumbent is the
            feasible point that the judge likes best.
        baselines: points to compare with, by name. They are evaluated like the answer and reported beside it.
        metrics: functions of x, by name, that are reported for the answer and the baselines and decide nothing.
        adversary: names of variables that make the objective large while the others make it small: a saddle is sought.
        weights: of several objectives, by name, not negative: what is made small is then their weighted sum. Default: a
            point is sought from which no step improves one objective without worsening another, and none is worse than
            at the start; where a single number is needed, as for traces, it is the mean.
        black_box: True to say that the objective must not be traced (tracing calls it once with abstract values, which
            matters if it starts other programs). Default: found out by tracing.

    Raises:
        TypeError: if an argument is of the wrong kind, or a traceable function returns something other than a scalar
            (objective) or an array (constraint).
        ValueError: if a value is wrong: an unknown keyword, an empty domain, data of unequal lengths...
    """

    objective: Callable[..., Any]
    over: Any
    subject_to: Sequence[Constraint] = ()
    sense: str = "min"
    given: Any = None
    data: Any = None
    batch_size: int | None = None
    judge: Callable[[Any], Any] | None = None
    baselines: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)
    black_box: bool | None = None
    adversary: Sequence[str] = ()
    weights: Mapping[str, float] | None = None
    domain: Product = dataclasses.field(init=False)
    objectives: tuple[str, ...] = dataclasses.field(init=False, default=())
    untraceable: str | None = dataclasses.field(init=False, default=None)
    route: Callable[..., Any] | None = dataclasses.field(init=False, default=None)
    merit: Callable[[Evaluation, Any], Evaluation] | None = dataclasses.field(init=False, default=None)
    parameters: Any = dataclasses.field(init=False, default=None)
    _programs: dict = dataclasses.field(init=False, default_factory=dict)
    _once: Callable[..., Evaluation] | None = dataclasses.field(init=False, default=None)

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        if not callable(self.objective):
            raise TypeError(f"the objective must be a function of x, got {self.objective!r}")
        put("adversary", (self.adversary,) if isinstance(self.adversary, str) else tuple(self.adversary))
        put("weights", calls.weights(self.weights))
        put("objectives", () if self.weights is None else tuple(sorted(self.weights)))
        put("domain", Product(self.over))
        put("subject_to", as_constraints(self.subject_to))
        if self.sense not in ("min", "max"):
            raise ValueError(f'sense must be "min" or "max", got {self.sense!r}')
        for function in self._functions:
            calls.check_keywords(function, self.data is not None, self.given is not None)
        put("data", self.data if self.data is None else jax.tree.map(np.asarray, self.data))
        if self.data is not None:
            calls.check_data(self.data, self.batch_size)
        elif self.batch_size is not None:
            raise ValueError("batch_size needs data=")
        for name, function in [("judge", self.judge), *self.metrics.items()]:
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function of x, got {function!r}")
        put("baselines", {name: self.point(x, f"baseline {name!r}") for name, x in self.baselines.items()})
        put("untraceable", "declared a black box" if self.black_box else self._trace())
        put("black_box", self.untraceable is not None)
        calls.check_adversary(self)

    @property
    def _functions(self) -> list[Callable[..., Any]]:
        return [self.objective, *(c.function for c in self.subject_to)]

    @property
    def sign(self) -> int:
        """+1 for a minimization, -1 for a maximization: value = sign * loss."""
        return 1 if self.sense == "min" else -1

    @property
    def random(self) -> bool:
        """Whether the objective or a constraint draws from `key`."""
        return self.compiled("random", lambda: any("key" in calls.keywords(f) for f in self._functions))

    @property
    def rows(self) -> int:
        """The number of rows of `data` (0 without)."""
        return 0 if self.data is None else len(jax.tree.leaves(self.data)[0])

    @property
    def fixed(self) -> bool:
        """Whether all copies that share programs share numbers, so that these can be kept with the programs."""
        return self.given is None and self.data is None

    @property
    def inputs(self) -> Inputs:
        """The arguments that `bind` takes; the data lie on JAX's device. A black box keeps what only the host sees."""
        if self.black_box:
            return Inputs(None, None, self.parameters)
        return Inputs(self.given, self.compiled("data", lambda: jax.tree.map(jnp.asarray, self.data)), self.parameters)

    def at(self, given: Any) -> "Problem":
        """The same problem for other parameters. What was compiled for this one serves that one too.

        Raises:
            ValueError: if the tree of `given` differs from the one that the problem was stated with.
        """
        if jax.tree.structure(given) != jax.tree.structure(self.given):
            raise ValueError(f"given must be shaped like {self.given!r}, got {given!r}")
        return self._copy(given=given, _programs={}) if self.black_box else self._copy(given=given)

    def bind(self, inputs: Inputs) -> "Problem":
        """The same problem with other inputs, which may be tracers: how compiled programs receive them."""
        if self.black_box:
            return self._copy(parameters=inputs.parameters)
        return self._copy(given=inputs.given, data=inputs.data, parameters=inputs.parameters)

    def anew(self) -> "Problem":
        """The same problem, of which nothing is remembered: the user's functions are called again."""
        return self._copy(_programs={}, _once=None)

    def via(self, route: Callable[..., Any] | None) -> "Problem":
        """The same problem, differentiated by `route`."""
        return self._copy(route=route, _programs={})

    def restated(self, merit: Callable[[Evaluation, Any], Evaluation], parameters: Any) -> "Problem":
        """The problem of making `merit(evaluation, parameters).loss` small: an augmented Lagrangian, say. Parameters
        are inputs: `restated.updated(parameters)` needs no compilation.
        """
        return self._copy(merit=merit, parameters=parameters, _programs={})

    def rescaled(self, scale: np.ndarray) -> "Problem":
        """The same problem with other scales of its variables, flat, where none are stated. What is compiled for these
        lasts as long as the problem.
        """
        scale = np.asarray(scale, np.float64)
        make = lambda: self._copy(domain=self.domain.rescaled(scale), _programs={})  # noqa: E731
        twin = self.compiled(("rescaled", scale.tobytes()), make)
        return twin._copy(given=self.given, parameters=self.parameters)

    def updated(self, parameters: Any) -> "Problem":
        """A restated problem with other parameters of its merit."""
        return self._copy(parameters=parameters)

    def _copy(self, **changes: Any) -> "Problem":
        twin = object.__new__(Problem)  # not copy.copy, which would leave the compiled programs behind
        twin.__dict__.update(self.__dict__, **changes)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """For other processes: everything but the compiled programs."""
        return {**self.__dict__, "_programs": {}, "_once": None}

    def compiled(self, name: Hashable, build: Callable[[], Any]) -> Any:
        """The program called `name`, built on first use and shared with every restatement that compiles alike."""
        if name not in self._programs:
            self._programs[name] = build()
        return self._programs[name]

    def evaluate(self, x: Any, *, key: Any = None, batch: Any = None) -> Evaluation:
        """Objective and constraints at x: a pure function of its arguments, differentiated by `route` if there is one.

        Args:
            x: a point shaped like `over` (members, or points of the relaxed domain). A black box may be given tracers:
                then it is called back on the host, and a point that makes it raise gives NaN.
            key: for random functions (default: key 0) and for the route.
            batch: rows to average over (default: all of `data`).

        Raises:
            TypeError: if a black box returns something other than a float scalar or array.
        """
        plain = lambda x, *, key: self._evaluate(x, key, batch)  # noqa: E731
        key = jax.random.key(0) if key is None else key
        evaluation = plain(x, key=key) if self.route is None else self.route(plain)(x, key=key)
        return evaluation if self.merit is None else self.merit(evaluation, self.parameters)

    def _evaluate(self, x: Any, key: Any, batch: Any) -> Evaluation:
        if batch is None and self.batch_size is not None and self.rows > self.batch_size:
            return calls.average(
                lambda rows: self._evaluate(x, key, rows), self.data, self.batch_size, bool(self.black_box)
            )
        batch = self.data if batch is None else batch
        return self._user(x, key, batch, self.given) if self._once is None else self._once(x, key, batch, self.given)

    def _user(self, x: Any, key: Any, batch: Any, given: Any) -> Evaluation:
        """The user's functions at x."""
        if self.black_box and any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((x, key, batch))):
            return self._call_back(x, key, batch)
        if self.black_box:
            x = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), x)
        offered = {"key": key, "batch": batch, "given": given}
        value = self._call(self.objective, x, offered)
        constraints = tuple(
            calls.array(self._call(c.function, x, offered), f"constraint {c.name}") for c in self.subject_to
        )
        if isinstance(value, dict) and not self.objectives and not self.black_box:
            object.__setattr__(self, "objectives", tuple(sorted(value)))  # while it is stated: known from then on
        if not self.objectives:
            return Evaluation(self.sign * calls.scalar(value, "the objective"), constraints)
        losses = tuple(self.sign * each for each in calls.scalars(value, self.objectives))
        shares = [self.share(name) for name in self.objectives]
        return Evaluation(sum(share * each for share, each in zip(shares, losses, strict=True)), constraints, losses)

    def share(self, name: str) -> float:
        """What one of several objectives counts in the loss: its weight, or one over their number."""
        return 1 / len(self.objectives) if self.weights is None else self.weights[name]

    def named(self, evaluation: Evaluation) -> dict[str, float]:
        """The values of several objectives by name, in the user's sense."""
        pairs = zip(self.objectives, evaluation.objectives, strict=True)
        return {name: float(self.sign * loss) for name, loss in pairs}

    def _call_back(self, x: Any, key: Any, batch: Any) -> Evaluation:
        """The evaluation on the host, from traced code: one host call for a whole batch of points."""
        dtype = jnp.result_type(float)
        example = self.compiled(
            "returns", lambda: self._on_host(self.domain.start(), np.zeros(2, np.uint32), None, dtype)
        )
        out = jax.tree.map(lambda value: jax.ShapeDtypeStruct(value.shape, dtype), example)

        def at(vector: np.ndarray, seed: np.ndarray, rows: Any) -> Evaluation:
            return self._on_host(self.domain.unravel(vector.astype(np.float64)), seed, rows, dtype)

        return calls.back(at, out, (self.domain.ravel(x), jax.random.key_data(key), batch))

    def _on_host(self, x: Any, seed: np.ndarray, batch: Any, dtype: Any) -> Evaluation:
        return jax.tree.map(lambda value: np.asarray(value, dtype), self._evaluate(x, seed, batch))

    def _call(self, function: Callable[..., Any], x: Any, offered: dict[str, Any]) -> Any:
        named = {name: offered[name] for name in calls.keywords(function)}
        if self.black_box and "key" in named:
            named["key"] = numerics.seed(named["key"])
        return function(x, **named)

    def violation(self, constraints: tuple[Any, ...]) -> Any:
        """The largest violation among constraint values, in units of their scales; 0 without constraints."""
        worst = [c.violation(value) for c, value in zip(self.subject_to, constraints, strict=True)]
        xp = numerics.namespace(*worst)
        return xp.max(xp.stack(worst)) if worst else 0.0

    def point(self, x: Any, name: str = "start") -> Any:
        """x as float64 NumPy arrays. ValueError, naming the variable, if it is no member of the domain."""
        return self.domain.checked(x, name)

    def _trace(self) -> str | None:
        """Why the functions cannot be traced, or None if they can. Checks the shapes of what they return."""
        x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jnp.result_type(float)), self.domain.start())
        try:
            program = jax.make_jaxpr(lambda x: self._evaluate(x, jax.random.key(0), None))(x)
        except calls.WrongReturnError:
            raise
        except Exception as error:  # any exception of user code only says that tracing does not work
            return calls.why_untraceable(error)
        if len(program.eqns) > LONG:  # then JAX is to remember their derivatives too, from one program to the next
            object.__setattr__(self, "_once", jax.jit(self._user))
        return None

    def __repr__(self) -> str:
        goal = "minimize" if self.sense == "min" else "maximize"
        several = f": {', '.join(self.objectives)}" if self.objectives else ""
        lines = [f"{goal} {calls.name_of(self.objective)}{several}"]
        labels = [
            f"{label} in {part}" if label else f"x in {part}"
            for label, part in zip(self.domain.names, self.domain.parts, strict=True)
        ]
        lines.append("over " + ", ".join(labels))
        lines += [f"subject to {constraint}" for constraint in self.subject_to]
        notes = ["black box"] * bool(self.black_box) + ["random"] * self.random
        if self.data is not None:
            notes.append(f"{self.rows} rows" + (f" in batches of {self.batch_size}" if self.batch_size else ""))
        return "\n    ".join(lines + ([f"({', '.join(notes)})"] if notes else []))
