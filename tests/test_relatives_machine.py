"""What the machine does: forks, memory as others lay it out, names of any characters, streams that are closed, odd settings.

Written from the kind's description, without sight of the code. An answer is right or refused by an error of ours; a process ends
with an exit code that the documentation names, never by a signal, a traceback or not at all.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, Node, errors, render, rules
from lrp_ref import layers as L

ROOT = str(Path(lrp_ref.__file__).parents[1])
backends = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)

FORK = """
import os, signal, threading, warnings
import numpy as np, lrp_ref
from lrp_ref import layers as L
warnings.simplefilter("ignore")  # Python 3.12 and later warn of forks beside threads
rng = np.random.default_rng(0)
layers = [L.Conv(rng.normal(size=(64, 64, 3, 3)), padding=1), L.ReLU(), L.Flatten(), L.Dense(rng.normal(size=(1024, 3)))]
model = lrp_ref.Model.sequential(layers)
x, stop = rng.normal(size=(1, 64, 4, 4)), threading.Event()
expected = lrp_ref.explain(model, x, target=1).relevance
def work():
    while not stop.is_set():
        BUSY
threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(40):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # one that hangs ends by it
        os._exit(0 if np.array_equal(lrp_ref.explain(model, x, target=1).relevance, expected) else 1)
    if os.waitpid(child, 0)[1]: os._exit(7)
stop.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "busy",
    [
        "lrp_ref.explain(model, x, target=1)",
        "model.forget(); lrp_ref.explain(model, x, target=1)",
        "lrp_ref.explain(lrp_ref.Model.sequential(layers), x, precision='float32')",
    ],
    ids=["explaining", "forgetting", "other models"],
)
def test_children_explain_while_threads_of_the_parent_do(busy):
    done = subprocess.run(
        [sys.executable, "-c", FORK.replace("BUSY", busy)], env={**os.environ, "PYTHONPATH": ROOT}, timeout=60, check=False
    )
    assert done.returncode == 0


def misaligned(array):
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    held = buffer[1:].view(np.uint8)[: array.nbytes]
    held[:] = np.frombuffer(array.tobytes(), np.uint8)
    found = np.ndarray(array.shape, array.dtype, held.data)
    assert not found.flags.aligned
    return found


def of_records(array):
    """One field of a record with a byte in front of it."""
    records = np.zeros(array.shape, np.dtype([("tag", "u1"), ("value", array.dtype)]))
    records["value"] = array
    return records["value"]


LAYOUTS = {
    "misaligned": misaligned,
    "of records": of_records,
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "Fortran": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


def same(explained, layout, plain):
    expected = explained(*plain)
    try:
        found = explained(*map(layout, plain))
    except errors.LrpError:
        return
    atol = (1e-12 if plain[0].dtype == np.float64 else 1e-4) * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["float64", "float32"])
@backends
def test_arrays_in_any_layout(layout, kind, backend):
    """Weights, biases, inputs and starts give what plain arrays of the same numbers give, or are refused by an error of ours."""
    rng = np.random.default_rng(1)
    shapes = [(4, 3, 3, 3), (4,), (64, 5), (5,), (2, 3, 6, 6), (2, 5)]
    plain = [rng.normal(size=shape).astype(kind) for shape in shapes]

    def explained(w1, b1, w2, b2, x, start):
        model = Model.sequential([L.Conv(w1, b1), L.ReLU(), L.Flatten(), L.Dense(w2, b2)])
        return lrp_ref.explain(model, x, start=start, backend=backend).relevance

    same(explained, LAYOUTS[layout], plain)


@pytest.mark.parametrize("layout", ["misaligned", "of records", "swapped bytes", "every second"])
@backends
def test_recurrent_layers_too(layout, backend):
    rng = np.random.default_rng(2)
    plain = [rng.normal(size=shape) for shape in [(3, 16), (4, 16), (16,), (2, 5, 3)]]

    def explained(w, u, b, x):
        return lrp_ref.explain(Model.sequential([L.LSTM.from_arrays(w, u, b)]), x, target=1, backend=backend).relevance

    same(explained, LAYOUTS[layout], plain)


def test_a_mapped_file_that_is_not_aligned(tmp_path):
    array = np.random.default_rng(3).normal(size=(2, 4))
    (tmp_path / "raw").write_bytes(b"x" + array.tobytes())
    mapped = np.memmap(tmp_path / "raw", array.dtype, "r", offset=1, shape=array.shape)
    model = Model.sequential([L.Dense(np.eye(4))])
    np.testing.assert_array_equal(
        lrp_ref.explain(model, mapped, target=0).relevance, lrp_ref.explain(model, array, target=0).relevance
    )


ODD = {
    "mathtext": "cost in $ and \\frac{",
    "two dollars": "$\\undefined{x}$",
    "an index": "$x_$",
    "NUL": "a\x00b",
    "lone surrogate": "a\udcffb",
    "other surrogate": "\ud800",
    "escape": "\x1b[31mred",
    "line ends": "a\nb\r\nc\u2028d",
    "long": "n" * 5000,
    "braces": "{0} %s {name}",
    "right to left": "\u202eabc",
    "markup": "[bold]a[/bold] <b>&amp;",
}


@pytest.mark.parametrize("name", ODD)
def test_names_of_nodes(name, tmp_path):
    """Refused at once, or good for a table, a ledger, a file and back."""
    try:
        model = Model((Node(ODD[name], L.Dense(np.eye(2)), "input"), Node("relu", L.ReLU(), ODD[name])))
    except errors.LrpError:
        return
    e = lrp_ref.explain(model, np.ones((1, 2)), keep="all", ledger=True)
    for text in (repr(model), repr(lrp_ref.Explainer(model)), repr(e), repr(e.ledger), e.ledger.table(), e.to_json()):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
        assert max(map(len, text.split("\n"))) < 20000
    try:
        lrp_ref.save(model, tmp_path / "m.npz")
        e.save(tmp_path / "e.npz")
    except errors.LrpError:
        return
    assert lrp_ref.load(tmp_path / "m.npz").rows()[0][0] == model.rows()[0][0]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", ODD)
def test_names_of_classes_in_a_picture(name, tmp_path):
    pytest.importorskip("matplotlib")
    e = lrp_ref.explain(Model.sequential([L.Flatten(), L.Dense(np.eye(4))]), np.ones((1, 1, 2, 2)), targets=(0, 1))
    labels = [ODD[name], "plain", "c", "d"]
    render.picture(e, labels=labels).savefig(tmp_path / "map.png", dpi=20)
    assert (tmp_path / "map.png").stat().st_size > 0


@pytest.mark.parametrize("name", ODD)
def test_words_on_a_page(name):
    model = Model.sequential([L.Embedding(np.eye(3)), L.Flatten(), L.Dense(np.ones((6, 1)))])
    e = lrp_ref.explain(model, np.array([[0.0, 2.0]]), target=0, rule=rules.Zero())
    page = render.html(render.readings(e, [ODD[name], "fine"], labels=[ODD[name]]), title=ODD[name], facts=ODD[name])
    page.encode("utf-8")
    assert "\x00" not in page
    assert "<b>&amp;" not in page


def command(*arguments, cwd, setup="", **environment):
    """`lrp-ref` in a shell that opens and closes streams before; its exit code and what it said."""
    words = " ".join(f"'{word}'" for word in (sys.executable, "-m", "lrp_ref.cli", *arguments))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{words} {setup}"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path):
    lrp_ref.save(Model.sequential([L.Dense(np.eye(4)[:, :3] + 0.5)]), tmp_path / "net.npz")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "in" / f"{name}.npy", np.arange(4.0))
    return tmp_path


unix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


@unix
@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_standard_streams_that_are_closed_or_full(place, streams):
    code, said = command("explain", "net.npz", "in", "--out", "out/h.npz", cwd=place, setup=streams)
    assert code in (0, 3)
    assert b"Traceback" not in said
    assert code == 3 or sorted(p.name for p in (place / "out").glob("*.npz")) == ["h-a.npz", "h-b.npz"]


@unix
@pytest.mark.parametrize("encoding", ["ascii"])
def test_a_terminal_that_has_not_every_letter(place, encoding):
    (place / "labels.txt").write_text("Σπάνιο\nété\n猫\n", encoding="utf-8")
    code, said = command("explain", "net.npz", "in/a.npy", "--labels", "labels.txt", cwd=place, PYTHONIOENCODING=encoding)
    assert code == 0
    assert b"Traceback" not in said


@unix
@pytest.mark.parametrize("value", ["abc", "9" * 30, "1000000000"])
@pytest.mark.parametrize("variable", ["LRP_REF_NUM_THREADS"])
def test_settings_from_the_environment(place, variable, value):
    """Done or refused: not a crash, and no error that nobody foresaw."""
    code, said = command("explain", "net.npz", "in/a.npy", cwd=place, **{variable: value})
    assert code in (0, 2, 3, 4)
    assert b"Traceback" not in said


@pytest.mark.parametrize("threads", [0, -1, 10**9, 10**30, 1.5, "two", True, np.int64(-3)])
def test_numbers_of_threads(threads):
    model = Model.sequential([L.Dense(np.eye(3))])
    try:
        e = lrp_ref.explain(model, np.ones((1, 3)), target=0, threads=threads, rule=rules.Zero())
    except errors.LrpError:
        return
    np.testing.assert_array_equal(e.relevance, [[1, 0, 0]])


@unix
@pytest.mark.parametrize(
    "names", [["x.npy", "x.csv"], ["d/x.npy", "e/x.npy"], ["a$b.npy"], ["a b%s{0}.npy"], ["é\n.npy"], ["n" * 240 + ".npy"]]
)
def test_samples_with_odd_or_equal_names(place, names):
    """Each sample has an output of its own, or the command refuses before it writes."""
    for i, name in enumerate(names):
        path = place / "odd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.arange(4.0) + i) if path.suffix == ".npy" else np.savetxt(path, np.arange(4.0)[None] + i, delimiter=",")
    folders = ["odd"] if all("/" not in name for name in names) else ["odd/d", "odd/e"]
    # Of a folder, tables are taken only for networks that read sequences; a file that is named is always taken.
    folders = [f"odd/{name}" for name in names] if any(name.endswith(".csv") for name in names) else folders
    code, said = command("explain", "net.npz", *folders, "--out", "out/h.npz", cwd=place)
    assert b"Traceback" not in said
    values = {float(np.load(path)["value"][0]) for path in (place / "out").glob("*.npz")}
    assert (code == 0 and len(values) == len(names)) or (code in (2, 3) and not values)


@unix
def test_a_link_is_not_followed_unless_asked(place):
    target = place / "precious.npz"
    target.write_bytes(b"precious")
    (place / "h.npz").symlink_to(target)
    code, _ = command("explain", "net.npz", "in/a.npy", "--out", "h.npz", cwd=place)
    assert code == 3
    assert target.read_bytes() == b"precious"
    code, _ = command("explain", "net.npz", "in/a.npy", "--out", "h.npz", "--force", cwd=place)
    assert code == 0
    assert "relevance/input" in np.load(place / "h.npz").files
