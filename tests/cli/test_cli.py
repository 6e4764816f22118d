"""The command line as a whole: help, exit codes, missing extras, pipes; and the commands that only show."""

import io
import os
import re
import string
import subprocess
import sys

import click
import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, errors, rules
from lrp_ref import layers as L
from lrp_ref.cli import codes, info, main, parsing
from lrp_ref.cli.app import commands
from lrp_ref.cli.formulas import readable
from lrp_ref.cli.output import Output, plain_table
from lrp_ref.resources import chosen_threads
from lrp_ref.rules.by_name import rule_from
from support.cli_runner import CALL, ROOT, fresh, run

COMMANDS = ("compare", "convert", "demo", "explain", "info", "inspect", "methods", "rules")

# --- as a whole ----------------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_every_exit_code():
    text = run("--help").out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
    for code, meaning in codes.MEANING.items():
        assert f" {code} {meaning}" in " ".join(text.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command):
    assert "--json" in run(command, "--help").out
    assert set(commands.commands) == set(COMMANDS)


def test_the_version():
    assert run("--version").out.strip() == f"lrp-ref, version {lrp_ref.__version__}"


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("rules", "--nothing"), ("explain",), ("explain", "zoo:digits"), ("rules", "3")]
)
def test_a_wrong_command_line_is_code_2(arguments):
    assert "Error" in run(*arguments, code=codes.USAGE).err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MissingExtraError, 5),
        (errors.UnknownNameError, 2),
        (errors.ParameterError, 2),
        (errors.FormatError, 3),
        (errors.ExistingFileError, 3),
        (errors.ShapeError, 3),
        (errors.NumberTypeError, 3),
        (errors.GraphError, 3),
        (OSError, 3),
        (errors.RuleError, 4),
        (errors.DomainError, 4),
        (errors.TargetError, 4),
        (errors.HeadError, 4),
        (errors.NonFiniteError, 4),
        (errors.ExactnessError, 4),
    ],
)
def test_the_exit_code_of_each_error(error, code):
    assert codes.code_of(error("x")) == code


def test_every_error_of_the_library_has_a_code_that_is_documented():
    for error in errors.LrpError.__subclasses__():
        assert codes.code_of(error("x")) in codes.MEANING


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 3)])
def test_interruptions_and_errors_of_the_system_are_one_line(monkeypatch, error, code):
    def broken(**options):
        raise error

    monkeypatch.setitem(commands.commands, "info", click.Command("info", callback=broken))
    done = run("info", code=code)
    assert done.out == ""
    assert re.fullmatch(r"lrp-ref: error: .*\n", done.err)


def test_an_error_that_nobody_foresaw_keeps_its_traceback():
    done = fresh("info", before="import lrp_ref.cli.app as a\na.commands.commands['info'].callback = lambda **k: 1 / 0")
    assert done.code == codes.UNEXPECTED
    assert "ZeroDivisionError" in done.err
    assert "Traceback" in done.err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_the_command_imports_and_names_it(missing):
    done = fresh("rules", before=f"import sys; sys.modules[{missing!r}] = None; import lrp_ref.cli")
    assert done.code == codes.EXTRA
    assert done.out == ""
    assert done.err == "lrp-ref: error: the command line needs click and rich: pip install 'lrp_ref[cli]'\n"


def test_main_leaves_with_the_exit_code(monkeypatch, capsys):
    for arguments, code in ((["info"], codes.OK), (["inspect", "zoo:digitz"], codes.USAGE), (["nothing"], codes.USAGE)):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert (left.value.code or 0) == code
    assert "numpy" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(SystemExit) as left:
        main(["info"])
    assert left.value.code == codes.EXTRA


def test_python_m_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "lrp_ref.cli", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("lrp-ref, version")


# --- what is printed into a pipe -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("rules",), ("inspect", "zoo:digits")])
def test_a_pipe_gets_plain_text(arguments):
    done = fresh(*arguments, FORCE_COLOR="", TERM="xterm-256color")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert not [c for c in done.out if "\u2500" <= c <= "\u259f"], "box drawing"
    assert not [line for line in done.out.splitlines() if line != line.rstrip()]


def test_a_pipe_that_has_no_greek_letters_is_no_reason_to_fail():
    done = fresh("rules", PYTHONIOENCODING="latin-1")
    assert done.code == 0, done.err
    assert "\\u03b5" in done.out
    document = fresh("rules", "--json", PYTHONIOENCODING="latin-1").document
    assert any("ε" in rule["formula"] for rule in document["rules"])


def test_a_reader_that_goes_away_ends_the_command_quietly():
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", CALL, "rules"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert error == ""


def test_tables_are_columns_apart_by_two_spaces():
    text = plain_table(("a", "long"), [["1", "x"], ["22", "yy"]], {0})
    assert text.splitlines() == [" a  long", "--  ----", " 1  x", "22  yy"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def terminal_80(monkeypatch):
    """Both streams as a terminal 80 columns wide (not a fixture: pytest replaces the streams between set-up and test)."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    for name, value in {"COLUMNS": "80", "LINES": "24", "TERM": "xterm", "NO_COLOR": ""}.items():
        monkeypatch.setenv(name, value)
    return stream


def test_a_terminal_gets_a_table_whose_brackets_are_no_markup(monkeypatch):
    terminal = terminal_80(monkeypatch)
    Output().table(("feature", "x"), [("[0, 3]", 1)], right=(1,))
    assert "[0, 3]" in terminal.getvalue()


def test_a_terminal_that_is_too_narrow_gets_fewer_columns_and_is_told(monkeypatch):
    terminal = terminal_80(monkeypatch)
    columns, row = ("first", "second", "third"), ("a" * 30, "b" * 30, "c" * 30)
    Output().table(columns, [row], spare=(1, 2))
    text = terminal.getvalue()
    assert "a" * 30 in text
    assert "b" * 30 not in text
    assert "c" * 30 in text
    assert "too narrow for the columns second" in text


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    terminal = terminal_80(monkeypatch)
    with Output().progress("working", 2) as advance:
        advance(1, 2)
    text = terminal.getvalue()
    assert "working" in text
    assert "1/4" in text  # one of 2 + 2


def test_progress_is_silent_where_nobody_watches(capsys):
    with Output().progress("working", 2) as advance:
        advance(1, 0)
    assert capsys.readouterr() == ("", "")


# --- rules ---------------------------------------------------------------------------------------------------------------


def concrete():
    found = [getattr(rules, name) for name in rules.__all__]
    return {k.__name__ for k in found if isinstance(k, type) and issubclass(k, rules.Rule) and not k.__abstractmethods__}


def test_every_rule_is_shown_with_all_that_is_known_about_it():
    text = run("rules").out
    shown = run("rules", "--json").document["rules"]
    assert {rule["name"] for rule in shown} == concrete()
    for rule in shown:
        for key in ("signature", "formula", "usage", "source", "serves"):
            assert rule[key]
            assert rule[key] in text
    assert shown[0]["name"] == "Zero"
    gamma = next(rule for rule in shown if rule["name"] == "Gamma")
    assert gamma["parameters"] == {"gamma": 0.25, "epsilon": 0}


def test_what_is_shown_as_a_signature_can_be_typed():
    for rule in run("rules", "--json").document["rules"]:
        assert str(rule_from(rule["signature"])) == str(getattr(rules, rule["name"])())


def test_formulas_can_be_shown_as_latex():
    text = run("rules", "--latex").out
    assert rules.Gamma.formula in text
    assert r"\frac" not in run("rules").out


def test_no_rule_leaves_latex_in_a_terminal():
    for name in concrete():
        text = readable(getattr(rules, name).formula)
        assert not set(text) & set("\\$"), text
        # Braces are left around an index of several parts alone.
        assert re.sub(r"_\{[^{}]*\}", "", text).count("{") == 0, text


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"R_j = \sum_k \frac{a_j w_{jk}}{\sum_{0,j} a_j w_{jk}} R_k", "R_j = Σ_k a_j w_jk / (Σ_{0,j} a_j w_jk) · R_k"),
        (r"\frac{a + b}{c}", "(a + b) / c"),
        (r"\frac{x}{(a + b)}", "x / (a + b)"),
        (r"\frac{(a)^+ + (b)^-}{2}", "((a)⁺ + (b)⁻) / 2"),
        (r"w_{jk}^\pm, x^2, z^{(l)}", "w_jk^±, x², z^((l))"),
        (r"x_j,\quad x \ge 0 \text{ for LRP-0}", "x_j,   x ≥ 0 for LRP-0"),
        (r"-\beta \Big(a\Big)", "−β (a)"),
    ],
)
def test_latex_becomes_readable(latex, text):
    assert readable(latex) == text


# --- rules that are typed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Flat()", rules.Flat()),
        ("Flat", rules.Flat()),
        ("Epsilon(0.25)", rules.Epsilon(0.25)),
        ("Epsilon(epsilon=relative(0.25), signed=False)", rules.Epsilon(rules.relative(0.25), signed=False)),
        ("AlphaBeta(2, 1, bias='none')", rules.AlphaBeta(2, 1, bias="none")),
        ("ZBox(-1, [[1], [2]])", rules.ZBox(-1, [[1], [2]])),
        ("AverageSurrogate(rule=Epsilon(1))", rules.AverageSurrogate(rules.Epsilon(1))),
    ],
)
def test_a_rule_is_typed_as_it_is_written_in_python(text, rule):
    assert str(rule_from(text)) == str(rule)
    assert parsing.assignment(f"conv1={text}")[0] == "conv1"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("conv1", errors.ParameterError, "--rule takes NODE=RULE"),
        ("=Flat()", errors.ParameterError, "--rule takes NODE=RULE"),
        ("conv1=", errors.ParameterError, "--rule takes NODE=RULE"),
        ("conv1=Epsilom(1)", errors.UnknownNameError, "Did you mean 'Epsilon'"),
        ("conv1=LinearRule()", errors.UnknownNameError, "unknown rule 'LinearRule'"),
        ("conv1=Epsilon(", errors.ParameterError, "is no rule"),
        ("conv1=3", errors.ParameterError, "is no rule"),
        ("conv1=relative(0.25)", errors.ParameterError, "is no rule"),
        ("conv1=Epsilon(0.1, 2, 3)", errors.ParameterError, "Epsilon takes epsilon=1e-06, signed=True"),
        ("conv1=Epsilon(nothing=1)", errors.ParameterError, "Epsilon takes epsilon=1e-06, signed=True"),
        ("conv1=Flat(1)", errors.ParameterError, "Flat takes no arguments"),
        ("conv1=Epsilon(1/4)", errors.ParameterError, "arguments are literals"),
        ("conv1=Epsilon(*[1])", errors.ParameterError, r"without \* and \*\*"),
        ("conv1=Epsilon(**{})", errors.ParameterError, r"without \* and \*\*"),
        ("conv1=Epsilon(-1)", errors.ParameterError, "Epsilon.epsilon"),
        ("conv1=AlphaBeta(2, 2)", errors.ParameterError, "alpha − beta = 1"),
        ("conv1=" + "(" * 500 + ")" * 500, errors.ParameterError, "is no rule"),
    ],
)  # fmt: skip
def test_a_rule_that_is_wrong_says_what_would_be_right(text, error, message):
    with pytest.raises(error, match=message):
        parsing.assignment(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {0}')",
        "Epsilon(__import__('os').system('touch {0}'))",
        "Flat(open('{0}', 'w'))",
        "Epsilon([].append(1))",
    ],
)
def test_nothing_that_is_typed_is_executed(text, tmp_path):
    target = tmp_path / "made"
    with pytest.raises(errors.LrpError):
        parsing.assignment(f"conv1={string.Template(text).template.replace('{0}', str(target))}")
    assert not target.exists()


def network():
    return Model.sequential(
        [L.Conv(np.ones((1, 1, 1, 1))), L.ReLU(), L.Conv(np.ones((1, 1, 1, 1))), L.Flatten(), L.Dense(np.ones((4, 2)))]
    )


@pytest.mark.parametrize(
    ("text", "node", "rule"),
    [
        ("a=b=Flat()", "a=b", rules.Flat()),
        ("a=b=Epsilon(epsilon=0.5)", "a=b", rules.Epsilon(0.5)),
        ("conv1=Epsilon(epsilon=relative(0.25))", "conv1", rules.Epsilon(rules.relative(0.25))),
        ("m/x=0:out=AverageSurrogate(rule=Flat())", "m/x=0:out", rules.AverageSurrogate(rules.Flat())),
        (" dense* = ZPlus ", "dense*", rules.ZPlus()),
    ],
)
def test_a_node_may_have_an_equals_sign_in_its_name(text, node, rule):
    assert parsing.assignment(text) == (node, rule)


def test_a_glob_means_the_nodes_that_the_rule_serves_and_the_first_that_matches_holds():
    made = parsing.composite("epsilon_plus", ["conv2=ZPlus()", "*=Epsilon(0.5)"])
    found = {name: str(rule) for name, rule in made.assign(network()).items()}
    epsilon = "Epsilon(epsilon=0.5, signed=True)"
    assert found == {"conv1": epsilon, "relu1": "Pass()", "conv2": "ZPlus()", "flatten1": "Pass()", "dense1": epsilon}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("conv3=Flat()", errors.UnknownNameError, "unknown node 'conv3'. Did you mean 'conv2'"),
        ("layer*=Flat()", errors.UnknownNameError, "unknown node"),
        ("relu*=Flat()", errors.UnknownNameError, r"Flat\(\) serves none of the nodes that fit 'relu\*': relu1"),
        ("relu1=Flat()", errors.RuleError, "does not serve it"),
    ],
)
def test_a_node_that_a_rule_cannot_be_given_to_says_why(text, error, message):
    with pytest.raises(error, match=message):
        parsing.composite("epsilon_plus", [text]).assign(network())


@pytest.mark.parametrize(("text", "target"), [("predicted", "predicted"), ("all", "all"), ("3", 3), ("-1", -1), ("1,2", (1, 2))])
def test_targets(text, target):
    assert parsing.target_of(text) == target


@pytest.mark.parametrize("text", ["", "three", "1.5", "1,", "predict"])
def test_a_target_that_is_none_says_so(text):
    with pytest.raises(errors.ParameterError, match='"predicted", "all", or the index'):
        parsing.target_of(text)


# --- inspect -------------------------------------------------------------------------------------------------------------


def saved(tmp_path, model):
    return lrp_ref.save(model, tmp_path / "model.npz")


def test_inspect_shows_nodes_rules_and_steps_and_what_was_folded():
    done = run("inspect", "zoo:digits_bn", "--composite", "lrp_overview", "--rule", "conv2=Flat()")
    assert "batchnorm1 was folded into conv1" in done.out
    found = run("inspect", "zoo:digits_bn", "--composite", "lrp_overview", "--rule", "conv2=Flat()", "--json").document
    nodes = {node["node"]: node for node in found["nodes"]}
    assert nodes["conv1"]["shape"] == [16, 8, 8]
    assert nodes["conv1"]["rule"] == "ZBox(low=0.0, high=1.0)"
    assert nodes["conv2"]["rule"] == "Flat()"
    assert nodes["dense1"]["parameters"] == 128 * 10 + 10
    assert all(node["step"] for node in found["nodes"])
    assert found["folded"] == [{"node": f"batchnorm{i}", "into": [f"conv{i}"]} for i in (1, 2, 3)]
    assert found["inputs"] == {"input": {"shape": [1, 8, 8], "domain": "[0.0, 1.0]"}}
    for node in found["nodes"]:
        assert re.search(rf"^{node['node']} .*{re.escape(node['rule'])}", done.out, re.MULTILINE)


def test_inspect_says_which_backend_serves(tmp_path):
    found = run("inspect", "zoo:digits", "--backend", "reference", "--json").document
    assert found["backend"] == "reference"
    assert {node["step"] for node in found["nodes"]} == {"reference"}
    assert "Did you mean 'reference'" in run("inspect", "zoo:digits", "--backend", "referenc", code=2).err


def test_inspect_says_what_a_plan_may_spend():
    chosen = ("--backend", lrp_ref.BACKENDS[-1], "--precision", "float32", "--threads", 3, "--memory", "low")
    found = run("inspect", "zoo:digits", *chosen, "--json").document
    extra = ", 3 threads, low memory" if lrp_ref.BACKENDS[-1] == "compiled" else ""
    assert found["plan"] == f"float32, backend {lrp_ref.BACKENDS[-1]}{extra}"
    assert found["plan"] in run("inspect", "zoo:digits", *chosen).out
    for wrong in (("--threads", 0), ("--memory", "lots"), ("--precision", "float16")):
        run("inspect", "zoo:digits", *wrong, code=2)


def test_inspect_shows_the_plan_where_asked():
    assert "reference" not in run("inspect", "zoo:digits").out
    lines = run("inspect", "zoo:digits", "--plan", "--backend", "reference").out.splitlines()
    assert lines[0].endswith("backend reference")
    assert sum(line.endswith(" reference") for line in lines[1:]) == 10


def test_inspect_works_on_a_model_of_unknown_shape_and_on_one_that_ends_in_a_softmax(tmp_path):
    layers = [L.Conv(np.ones((2, 1, 3, 3))), L.GlobalAvgPool(), L.Flatten(), L.Dense(np.ones((2, 2))), L.Softmax()]
    path = saved(tmp_path, Model.sequential(layers))
    text = run("inspect", path).out
    assert "input: any shape, domain unknown" in text
    assert re.search(r"^softmax1 .* –", text, re.MULTILINE)


def test_inspect_shows_the_network_even_where_the_composite_refuses_it(tmp_path):
    path = saved(tmp_path, Model.sequential([L.Dense(np.ones((3, 2)))], input_shape=(3,)))
    done = run("inspect", path, "--composite", "epsilon_gamma_box", code=codes.REFUSED)
    assert "dense1" in done.out
    assert "--low and --high give the bounds" in done.err
    assert "ZBox(low=0.0, high=2.0)" in run("inspect", path, "--composite", "epsilon_gamma_box", "--low", 0, "--high", 2).out
    assert run("inspect", path, "--low", 0, code=2).err.endswith("give both\n")


@pytest.mark.parametrize(
    ("model", "code", "message"),
    [
        ("zoo:digitz", 2, "Did you mean 'digits'"),
        ("missing.npz", 3, "missing.npz: the file cannot be read"),
        ("model.pkl", 3, "a pickle runs what it holds, and is never loaded"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(model, code, message):
    done = run("inspect", model, code=code)
    assert message in done.err
    assert done.err.count("\n") == 1


# --- info ----------------------------------------------------------------------------------------------------------------


def test_info_says_what_computes():
    found = run("info", "--json").document
    assert found["lrp_ref"] == lrp_ref.__version__
    assert found["numpy"] == np.__version__
    assert found["backends"] == list(lrp_ref.BACKENDS)
    assert found["precisions"] == ["float64", "float32", "fast", "exact"]
    assert found["threads"] == chosen_threads(None)
    assert (found["instruction_set"] is None) == ("compiled" not in lrp_ref.BACKENDS)
    text = run("info").out
    assert np.__version__ in text
    assert found["default_backend"] in text


def test_info_says_where_the_compiled_core_is_missing(monkeypatch):
    monkeypatch.setattr(info, "instruction_set", lambda: None)
    assert "the compiled core is not built here" in run("info").out
    assert run("info", "--json").document["instruction_set"] is None


def test_info_counts_the_threads_that_the_environment_asks_for(monkeypatch):
    monkeypatch.setenv("LRP_REF_NUM_THREADS", "5")
    assert run("info", "--json").document["threads"] == 5


def test_info_without_threadpoolctl_says_that_threads_are_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert "threadpoolctl is not installed" in run("info").out
    assert run("info", "--json").document["blas"] is None
