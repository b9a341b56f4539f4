"""Every file of the gallery has its form; the harness judges claims, and can judge against them; every claim holds."""

import ast
import json
import pathlib
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from descend.datasets import MissingDataError
from descend.gallery import harness
from descend.gallery.harness import code
from descend.routes import forward

SYSTEMS = {path.stem: path for path in harness.systems()}
LIBRARY = code.ROOT

GOOD = '''"""A made-up system (Nobody, 2024).

For the tests of the harness.
"""

import jax
import jax.numpy as jnp

import descend

PAPER = ""
SYSTEM = None
WHY = "flat"
CLAIM = "ours is below naive by more than 0.5"
SEEDS = 6


def problem():
    return descend.Problem(lambda x: jnp.sum(jnp.round(x)), over=descend.Real(2, -5.0, 5.0))


def run(key):
    noise = 0.1 * jax.random.normal(key, (2,))
    return {"ours": noise, "ablated": 1 + noise[0], "naive": 1 + noise[1]}


def holds(ours, naive):
    return ours.mean() < naive.mean() - 0.5
'''


def written(folder: pathlib.Path, name: str = "made_up", **changes: str) -> pathlib.Path:
    """A system in `folder`, with pieces of its text replaced: `old=new` by the keys of `PIECES`."""
    source = GOOD
    for piece, new in changes.items():
        assert PIECES[piece] in source
        source = source.replace(PIECES[piece], new)
    path = folder / f"{name}.py"
    path.write_text(source)
    return path


PIECES = {
    "title": "A made-up system (Nobody, 2024).",
    "paper": 'PAPER = ""\n',
    "system": "SYSTEM = None",
    "why": 'WHY = "flat"',
    "claim": 'CLAIM = "ours is below naive by more than 0.5"',
    "seeds": "SEEDS = 6",
    "imports": "import descend\n",
    "run": "def run(key):\n    noise = 0.1 * jax.random.normal(key, (2,))",
    "result": 'return {"ours": noise, "ablated": 1 + noise[0], "naive": 1 + noise[1]}',
    "holds": "def holds(ours, naive):",
    "judgment": "return ours.mean() < naive.mean() - 0.5",
}


def header(folder: pathlib.Path, **changes: str) -> harness.Header:
    written(folder, **changes)
    (found,) = harness.headers(folder=folder)
    return found


# Every file


@pytest.mark.parametrize("name", SYSTEMS)
def test_form(name):
    assert harness.faults(SYSTEMS[name]) == []


def test_nothing_imports_a_system():
    modules = {f"descend.gallery.{name}" for name in SYSTEMS}
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            assert not modules & {prefix + name for name in names}, path
            assert not (isinstance(node, ast.ImportFrom) and node.module in modules), path


@pytest.mark.gallery
@pytest.mark.parametrize("name", SYSTEMS)
def test_claim(name):
    """It holds on keys that its author did not choose the margin on, fails for the controls, and `inspect` sees why."""
    try:
        outcome = harness.trial(name)
    except MissingDataError as error:
        pytest.skip(str(error))
    assert outcome.holds, (outcome.header.claim, outcome.within_margin, outcome.z)
    assert outcome.control_breaks or outcome.header.negative
    assert outcome.why_found is not False


@pytest.mark.gallery
def test_no_stored_result_is_out_of_date():
    assert harness.stale() == []


def test_the_page_of_the_documentation_is_written_from_the_stored_results():
    page = LIBRARY.parent / "docs" / "gallery.md"
    assert page.read_text(encoding="utf-8") == harness.page(), "run descend gallery bench, which writes the page anew"


# The form


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"title": "A made-up system."}, "Title (authors, year)"),
        ({"paper": ""}, "no PAPER"),
        ({"system": "SYSTEM = 120"}, "SYSTEM must be a number in 1 .. 119"),
        ({"system": 'SYSTEM = "S1"'}, "SYSTEM must be"),
        ({"why": 'WHY = "flta"'}, "WHY must be a word"),
        ({"why": "WHY = None"}, "WHY is None without the reason"),
        ({"claim": 'CLAIM = "better"'}, "CLAIM must be a sentence with numbers"),
        ({"seeds": "SEEDS = 3"}, "SEEDS must be an int of at least 5"),
        ({"run": "def run(key, more):\n    noise = 0"}, "run must take (key)"),
        ({"run": "@jax.jit\ndef run(key):\n    noise = 0"}, "run is decorated"),
        ({"holds": "def held(ours, naive):"}, "no function holds"),
        ({"holds": "class Judge: ...\n\n\ndef holds(ours, naive):"}, "a class"),
        ({"imports": "import descend\nfrom descend.gallery import smoothgrad\n"}, "imports the gallery"),
        ({"judgment": "return (("}, "never closed"),
        ({"judgment": "\n" * 200 + "    return True"}, "lines, more than"),
    ],
)
def test_a_fault_of_form_is_found(tmp_path, changes, fault):
    (found,) = harness.faults(written(tmp_path, **changes))
    assert fault in found


def test_a_good_file_has_no_faults_and_its_header_says_what_it_says(tmp_path):
    path = written(tmp_path, why="WHY = None  # made up", run="def run(key, *, full=False):\n    noise = 0.1")
    assert harness.faults(path) == []
    (found,) = harness.headers(folder=tmp_path)
    assert (found.name, found.title, found.system, found.why) == ("made_up", PIECES["title"][:-1], None, None)
    assert (found.seeds, found.settings, found.path) == (6, ("full",), path)
    json.dumps(found.record())


# Listing


def test_listing_does_not_import_jax():
    out = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from descend.gallery import headers; headers(); print('jax' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "False"


def test_listing_120_systems_is_immediate(tmp_path):
    for number in range(120):
        shutil.copy(SYSTEMS["anyloss"], tmp_path / f"system_{number}.py")
    started = time.process_time()
    assert len(harness.headers(folder=tmp_path)) == 120
    assert time.process_time() - started < 0.1


def test_headers_are_ordered_by_number_and_chosen_by_reason(tmp_path):
    for name, system in (("b", "7"), ("a", "12"), ("c", '"S0"'), ("d", "None")):
        written(tmp_path, name, system=f"SYSTEM = {system}")
    written(tmp_path, "e", why='WHY = "kinked"')
    assert [h.name for h in harness.headers(folder=tmp_path)] == ["b", "a", "d", "e", "c"]
    assert [h.name for h in harness.headers("kinked", folder=tmp_path)] == ["e"]
    with pytest.raises(ValueError, match="did you mean 'kinked'"):
        harness.headers("kinky", folder=tmp_path)


def test_a_file_without_a_header_is_left_out_and_the_log_says_so(tmp_path, caplog):
    written(tmp_path, "good")
    written(tmp_path, "bad", paper="")
    assert [h.name for h in harness.headers(folder=tmp_path)] == ["good"]
    assert "bad.py: no PAPER" in caplog.text


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'anyloss'"):
        harness.run("any_loss")


# Judging


def test_the_record_of_a_claim_that_holds(tmp_path):
    record = harness.run(header(tmp_path))
    names = "name system claim holds control_breaks why_found seeds ours ablated naive seconds"
    assert list(record) == names.split()
    assert record["holds"] is True and record["control_breaks"] is True and record["why_found"] is True
    assert record["seeds"] == len(record["ours"]) == len(record["ablated"]) == len(record["naive"]) == 6
    json.dumps(record, allow_nan=False)


def test_the_keys_of_the_margin_are_not_those_of_the_confirmation(tmp_path):
    system = header(tmp_path)
    chosen, judged = harness.margin(system)["ours"], harness.trial(system).ours
    assert chosen.shape == judged.shape == (6, 2)
    assert not np.intersect1d(chosen, judged).size
    np.testing.assert_array_equal(judged, harness.trial(system).ours)


def test_a_claim_outside_its_margin_does_not_hold(tmp_path):
    outcome = harness.trial(header(tmp_path, judgment="return ours.mean() < naive.mean() - 5"))
    assert not outcome.holds and outcome.confirmed and outcome.control_breaks


def test_an_effect_within_the_noise_does_not_hold_whatever_holds_says(tmp_path):
    noisy = 'return {"ours": noise[0], "naive": 0.01 + noise[1]}'
    outcome = harness.trial(header(tmp_path, result=noisy, judgment="return True"))
    assert outcome.within_margin and not outcome.confirmed and not outcome.holds and outcome.ablated is None
    assert not outcome.control_breaks  # a judgment that cannot fail is found out
    negative = header(tmp_path, result=noisy, judgment="return True", claim='CLAIM = "not reproduced: 0 effect"')
    assert harness.trial(negative).holds


def test_a_control_for_which_the_claim_holds_is_found_out(tmp_path):
    idle = 'return {"ours": noise, "ablated": noise[1], "naive": 1 + noise[1]}'
    outcome = harness.trial(header(tmp_path, result=idle))
    assert outcome.holds and not outcome.control_breaks


def test_a_reason_that_inspect_does_not_find_is_found_out(tmp_path):
    assert harness.trial(header(tmp_path, why='WHY = "chaotic"')).why_found is False
    assert harness.trial(header(tmp_path, why="WHY = None  # made up")).why_found is None


def test_a_run_that_cannot_be_traced_runs_seed_by_seed_and_says_why(tmp_path, caplog):
    fast = harness.trial(header(tmp_path))
    system = header(tmp_path, run="def run(key):\n    noise = 0.1 * jax.random.normal(key, (2,))\n    float(noise[0])")
    slow = harness.trial(system)
    np.testing.assert_allclose(slow.ours, fast.ours, rtol=1e-12)
    assert "made_up runs seed by seed" in caplog.text


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ('return {"ours": noise, "naive": noise / 0}', "naive is not finite"),
        ('return {"ours": noise}', "run must return ours, naive"),
        ('return {"ours": noise, "naive": noise, "extra": noise}', "run must return ours, naive"),
    ],
)
def test_a_result_that_cannot_be_judged_is_refused(tmp_path, result, message):
    with pytest.raises(ValueError, match=message):
        harness.run(header(tmp_path, result=result))


def test_settings_reach_a_run_that_takes_them_and_no_other(tmp_path):
    plain = header(tmp_path)
    with pytest.raises(ValueError, match="run takes no full="):
        harness.run(plain, full=True)
    with pytest.raises(ValueError, match="no route 'smoth'"):
        harness.run(plain, route="smoth")
    taking = "def run(key, *, full=False, route=None):\n    noise = 0.1 * jax.random.normal(key, (2,)) - 100 * full\n"
    taking += "    noise = noise if route is None else noise - 1000"
    outcome = harness.trial(header(tmp_path, run=taking), full=True, route="forward")
    assert outcome.ours.mean() < -1000


def test_paired_z_is_the_statistic_of_the_paired_test():
    random = np.random.default_rng(0)
    ours, naive = random.normal(size=(2, 9, 4))
    expected = scipy.stats.ttest_rel(ours.mean(1), naive.mean(1)).statistic
    np.testing.assert_allclose(harness.paired_z(ours, naive), expected)
    assert harness.paired_z(ours[:, 0], ours[:, 0]) == 0
    assert harness.paired_z(np.zeros(5), np.ones(5)) == -np.inf


# Results


def test_a_row_is_fresh_until_code_or_claim_changes(tmp_path):
    results, system = tmp_path / "results.jsonl", header(tmp_path)
    assert harness.stale(results, [system]) == ["made_up: no row"]
    (row,) = harness.bench([system], path=results)
    assert row == harness.latest(results)["made_up"]
    assert row["ours"]["n"] == 6 and row["confirmed"] and row["versions"]["jax"] == jax.__version__
    assert harness.stale(results, [system]) == []
    commented = header(
        tmp_path, imports="import descend  # a comment\n", title="Other words.\n\nAnd lines (Nobody, 2024)."
    )
    assert harness.stale(results, [commented]) == []
    changed = header(tmp_path, judgment="return ours.mean() < naive.mean() - 0.4")
    assert "the code has changed" in harness.stale(results, [changed])[0]
    claimed = header(tmp_path, claim='CLAIM = "below by 0.4"')
    assert "the claim has changed" in harness.stale(results, [claimed])[0]
    harness.bench([changed], path=results)
    assert len(results.read_text().splitlines()) == 2 and harness.stale(results, [changed]) == []


def test_the_fingerprint_follows_imports_to_the_module_that_defines_a_name(tmp_path):
    files = {
        path.relative_to(LIBRARY).as_posix()
        for path in code.dependencies(SYSTEMS["anyloss"])
        if LIBRARY in path.parents
    }
    assert {"relax/confusion.py", "datasets/keel.py", "datasets/files.py", "problem.py", "numerics.py"} <= files
    assert not {"datasets/images.py", "datasets/demand.py"} & files
    lazily = written(tmp_path, imports="import descend\nfrom descend import routes\nused = routes.forward\n")
    files = {path.relative_to(LIBRARY).as_posix() for path in code.dependencies(lazily) if LIBRARY in path.parents}
    assert {"problem.py", "domains/real.py", "routes/forward.py", "routes/route.py"} <= files


def test_bench_says_where_it_wants_to_write(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        harness.bench([header(tmp_path)], path=tmp_path / "nowhere" / "results.jsonl")


def test_the_table_has_a_line_for_every_system():
    lines = harness.table().splitlines()
    assert len(lines) == 2 + len(harness.headers())
    assert all(line.count("|") - line.count("\\|") == 11 for line in lines)


# What single systems rest on


@pytest.mark.slow
def test_smoothgrad_is_the_gradient_of_the_smoothed_score():
    """Against the closed form for one hidden layer of ReLUs; the error falls as one over the root of the copies."""
    from descend.gallery.smoothgrad import smoothed

    weight = jnp.array([[1.0, -2.0, 0.5], [0.3, 1.0, -1.5]])
    score = lambda x: jnp.sum(jax.nn.relu(x @ weight + 0.1) * jnp.array([1.0, -0.7, 2.0]))  # noqa: E731
    x, sigma = jnp.array([0.2, -0.1]), 0.5
    # The smoothed ReLU has a closed form: E relu(m + s u) has derivative Phi(m / s) in m.
    mean, spread = x @ weight + 0.1, sigma * jnp.linalg.norm(weight, axis=0)
    exact = weight @ (jnp.array([1.0, -0.7, 2.0]) * scipy.stats.norm.cdf(mean / spread))
    keys = jax.random.split(jax.random.key(0), 400)
    draws = jax.jit(jax.vmap(lambda key: jax.grad(smoothed(score, key, 50, sigma))(x)))(keys)
    z = (draws.mean(0) - exact) / (draws.std(0, ddof=1) / 20)
    assert np.abs(z).max() < 4
    assert np.abs(jax.grad(score)(x) - exact).max() > 0.1  # the raw gradient is another thing
    many = jax.jit(jax.vmap(lambda key: jax.grad(smoothed(score, key, 800, sigma))(x)))(keys)
    np.testing.assert_allclose(draws.std(0) / many.std(0), 4, rtol=0.15)


@pytest.mark.slow
def test_forward_gradients_are_unbiased_with_the_variance_of_the_formula():
    """Where the gallery file takes it on trust that its draws are many enough: a quadratic, entry by entry."""
    slope = jnp.arange(1.0, 9.0)
    f = lambda x: x @ slope + jnp.sum(x**2)  # noqa: E731
    x = jnp.linspace(-1.0, 1.0, 8)
    true = jax.grad(f)(x)
    keys = jax.random.split(jax.random.key(1), 4000)
    draws = jax.jit(jax.vmap(lambda key: jax.grad(forward(f, tangents=4))(x, key=key)))(keys)
    assert np.abs((draws.mean(0) - true) / (draws.std(0, ddof=1) / np.sqrt(4000))).max() < 4
    np.testing.assert_allclose(draws.var(0).sum(), 7 * (true @ true) / 4, rtol=0.05)


def test_the_split_of_anyloss_is_stratified_and_its_padding_is_left_out():
    from descend.gallery.anyloss import part

    y = jnp.array([1.0] * 10 + [0.0] * 40 + [0.0] * 14)
    there = jnp.array([1.0] * 50 + [0.0] * 14)
    train = part(jax.random.key(0), y, there, 0.7)
    assert set(np.unique(train)) == {0.0, 1.0}
    assert (train @ y, train @ (1 - y), train[50:].sum()) == (7, 28, 0)


@pytest.mark.slow
def test_the_reverse_derivative_of_a_circuit_is_its_boolean_difference():
    """Of parameters in which the circuit is linear; where a bit is copied and multiplied by itself, the two differ."""
    from descend.gallery.reverse_derivative import SIZES, circuit, mod_2

    bits, theta = np.random.default_rng(0).integers(0, 2, (2, sum(SIZES))).astype(float)
    f = jax.jit(lambda theta: circuit(theta, bits[:64]))
    (flips,) = jax.vjp(f, theta)[1](1.0)
    at = lambda i, bit: f(jnp.asarray(theta).at[i].set(bit))  # noqa: E731
    difference = [at(i, 1.0) != at(i, 0.0) for i in range(theta.size)]
    np.testing.assert_array_equal(flips % 2, np.array(difference))
    assert 0 < np.sum(difference) < 100
    assert jax.grad(lambda x: mod_2(x * x))(1.0) % 2 == 0  # the formal derivative, not the difference f(1) - f(0)


def test_the_counterexample_with_tied_parameters():
    """relu(w) - relu(-w) is w, outside of the theorem on machine-representable parameters."""
    assert jax.grad(lambda w: jax.nn.relu(w) - jax.nn.relu(-w))(0.0) == 0


@pytest.mark.slow
def test_the_trainable_gate_is_a_step_with_a_slope():
    from descend.gallery.trainable_gate import FINE, gate

    w = jnp.linspace(0.0, 1.0, 1234)
    assert np.all(np.abs(gate(w) - (w >= 0.5)) <= 1 / FINE)
    np.testing.assert_allclose(jax.vmap(jax.grad(gate))(w), 1.0, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda w: gate(w, 0.3)))(w), 0.3, rtol=1e-12)


@pytest.mark.parametrize("name", ["beam", "bridge"])
def test_the_compliance_of_structures_is_that_of_a_dense_stiffness_matrix(name):
    """Of element matrices by quadrature, added in loops; its gradient is that of central differences."""
    from descend.gallery.structures import elastic, stiffness, task

    corners, element = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]), np.zeros((8, 8))
    law = np.array([[1, 0.3, 0], [0.3, 1, 0], [0, 0, 0.35]]) / 0.91
    for point in corners / np.sqrt(3):
        slope = corners * (1 + corners[:, ::-1] * point[::-1]) / 2  # of the four shape functions, by x and y
        strain = np.zeros((3, 8))
        strain[0, ::2] = strain[2, 1::2] = slope[:, 0]
        strain[1, 1::2] = strain[2, ::2] = slope[:, 1]
        element += strain.T @ law @ strain / 4
    np.testing.assert_allclose(stiffness(), element, atol=1e-15)

    rows, columns = 5, 7
    (free, load), random = task(name, (rows, columns)), np.random.default_rng(0)
    x, direction = random.uniform(0.1, 1.0, (rows, columns)), random.normal(size=(rows, columns))
    whole = np.zeros((free.size, free.size))
    for row, column in np.ndindex(rows, columns):
        nodes = [c * (rows + 1) + r for c in (column, column + 1) for r in (row, row + 1)]
        at = [2 * node + axis for node in nodes for axis in (0, 1)]
        whole[np.ix_(at, at)] += (1e-9 + x[row, column] ** 3 * (1 - 1e-9)) * element
    inner = np.flatnonzero(free)
    force = load.ravel()[inner]
    exact = force @ np.linalg.solve(whole[np.ix_(inner, inner)], force)

    f = jax.jit(elastic(free, load))
    np.testing.assert_allclose(f(x), exact, rtol=1e-10)
    difference = (f(x + 1e-5 * direction) - f(x - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(np.sum(jax.grad(f)(x) * direction), difference, rtol=1e-6)


def test_a_cantilever_bends_as_the_theory_of_beams_says():
    """Timoshenko's, with a load along the free end; the error falls by about 4 with half the element."""
    from descend.gallery.structures import elastic, task

    def bent(rows, length=8):
        free, load = task("cantilever", (rows, length * rows))
        load[:] = 0
        load[-1, :, 1] = 1 / rows
        load[-1, [0, -1], 1] /= 2
        return float(jax.jit(elastic(free, load))(jnp.ones((rows, length * rows))))

    few, some, many = (bent(rows) for rows in (2, 4, 8))
    theory = 8**3 / (3 / 12) + 6 / 5 * 8 * 2 * 1.3  # bending, shear: modulus 1, depth 1, Poisson's ratio 0.3
    np.testing.assert_allclose(many, theory, rtol=0.015)
    assert 3 < (some - few) / (many - some) < 4.5


@pytest.mark.slow
def test_structures_hold_their_volume_where_a_penalty_does_not():
    """The layout of any weights has it to rounding; a penalty gives way by what stiffness is worth."""
    from descend.gallery.structures import TASKS, elastic, lowest, network, paint, stated, task

    share, volume = stated("bridge")[1], TASKS["bridge"][1]
    for seed in range(5):
        image = paint(network(jax.random.key(seed), (32, 64)), (32, 64)).ravel().astype(float)
        assert abs(share.weights @ share(10**seed * image) - volume) < 1e-12

    compliance, volumes = elastic(*task("bridge", (8, 16))), []

    def penalized(flat):
        density = jax.nn.sigmoid(flat).reshape(8, 16)
        return jnp.log(compliance(density)) + 100 * (density.mean() / volume - 1) ** 2, density.mean()

    both = jax.jit(jax.value_and_grad(penalized, has_aux=True))

    def evaluate(flat):
        (value, held), slope = both(flat)
        volumes.append((float(value), float(held)))
        return value, slope

    lowest(evaluate, np.zeros(128))
    assert min(volumes)[1] > volume + 1e-3
