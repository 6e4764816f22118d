# The jobs of .ci/matrix. Each is a function that returns 0, or $not_run after a line that says why, or else has failed.

not_run=77
absent=()

job() { # NAME COMMAND…: run it, remember how it went and how long it took
    local name=$1 log from=$SECONDS code
    shift
    log=$(mktemp "$work/log.XXXXXX")
    printf '\n=== %s\n' "$name"
    ("$@") >"$log" 2>&1
    code=$?
    case $code in
        0) tail -n 25 "$log" && passed+=("$name ($((SECONDS - from)) s)") ;;
        "$not_run") cat "$log" && absent+=("$name: $(tail -n 1 "$log")") ;;
        *) cat "$log" && failed+=("$name ($((SECONDS - from)) s)") ;;
    esac
}

report() { # all jobs by how they went; fails where one failed, or where jobs were asked for by name and one was not run
    summary
    [ ${#absent[@]} -eq 0 ] || printf 'NOT RUN %s\n' "${absent[@]}"
    [ ${#failed[@]} -eq 0 ] && { [ $# -eq 0 ] || [ ${#absent[@]} -eq 0 ]; }
}

found_python() { # VERSION: a Python of this version that can make environments
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python "$(uv python find "$1" 2>/dev/null)"; do
        "$candidate" -c 'import ensurepip, sys, venv; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$1" 2>/dev/null &&
            printf '%s\n' "$candidate" && return 0
    done
    return 1
}

checkout() { # NAME VERSION: a copy of the checkout in $work/NAME with an environment; goes there
    local made_by
    made_by=$(found_python "$2") || { printf 'there is no Python %s here\n' "$2" && exit $not_run; }
    copy_checkout "$work/$1" && cd "$work/$1" && "$made_by" -m venv .venv && .venv/bin/python -VV
}

install() { # REQUIREMENT…: into the environment of this folder
    .venv/bin/python -m pip install --quiet "$@"
}

on_python() { # VERSION
    checkout "python$1" "$1" && install -e '.[test]' && .venv/bin/python -m pip list && .venv/bin/python -m pytest -q -n auto "${tests[@]}"
}

oldest() { # EXTRA…: the lower bounds of the package, of its build and of these extras, as constraints
    .venv/bin/python - "$@" <<'PROGRAM'
import re
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    found = tomllib.load(file)
wanted = [*found["build-system"]["requires"], *found["project"]["dependencies"]]
for extra in sys.argv[1:]:
    wanted += found["project"]["optional-dependencies"][extra]
for requirement in dict.fromkeys(wanted):
    bound = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", requirement)
    if bound:
        print(f"{bound[1]}=={bound[2]}{'' if '.' in bound[2] else '.*'}")  # there is no setuptools 77
    elif not requirement.startswith("lrp_ref["):
        sys.exit(f"{requirement}: no lower bound")
PROGRAM
}

oldest_python() { # the lower bound of requires-python
    sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml
}

job_oldest() {
    checkout oldest "$(oldest_python)" && oldest cli onnx numba plot test >oldest.txt && cat oldest.txt &&
        install $(grep -i '^cython=\|^setuptools=' oldest.txt) wheel &&
        install --no-build-isolation --constraint oldest.txt -e '.[test]' && .venv/bin/python -m pytest -q -n auto "${tests[@]}"
}

job_slow() {
    checkout slow "$(oldest_python)" && install -e '.[test]' && .venv/bin/python -m pytest -q -n auto -m slow
}

torch_index() { # pip's options for PyTorch without CUDA
    printf '%s\n' --extra-index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
}

all_tested() { # COMMAND…: the tests pass, and none says that something is not tested
    local said
    said=$("$@" 2>&1) || { printf '%s\n' "$said" && return 1; }
    printf '%s\n' "$said"
    ! grep 'NOT tested' <<<"$said"
}

job_torch() {
    checkout torch "$(oldest_python)" && install -e '.[test,torch]' keras $(torch_index) && .venv/bin/python -m pip list &&
        KERAS_BACKEND=torch all_tested .venv/bin/python -m pytest -q -ra -m 'not peer' tests/formats/test_torch*.py tests/formats/test_keras.py $(find tests -name 'test_relatives_*.py') &&
        KERAS_BACKEND=torch .venv/bin/python -m pytest -q -ra tests/formats/test_onnx_recurrent.py -k keras
}

job_keras() { # Keras exports to ONNX on TensorFlow alone, by tf2onnx
    checkout keras "$(oldest_python)" && install -e '.[test]' keras tensorflow-cpu tf2onnx && .venv/bin/python -m pip list &&
        KERAS_BACKEND=tensorflow all_tested .venv/bin/python -m pytest -q -ra tests/formats/test_onnx_keras.py tests/formats/test_onnx_recurrent.py -k keras
}

job_oldest_torch() {
    checkout oldest-torch "$(oldest_python)" && oldest torch onnx >oldest.txt && cat oldest.txt &&
        install --constraint oldest.txt -e '.[test,torch]' $(torch_index) &&
        all_tested .venv/bin/python -m pytest -q -ra -m 'not peer' tests/formats/test_torch*.py
}

job_peer() {
    checkout peer "$(oldest_python)" && install -e '.[test,torch]' zennit captum $(torch_index) && .venv/bin/python -m pip list &&
        all_tested .venv/bin/python -m pytest -q -ra -n auto -m peer
}

job_examples() {
    local example
    checkout examples "$(oldest_python)" && install -e '.[test,torch]' keras scipy $(torch_index) || return 1
    all_tested .venv/bin/python -m pytest -q -ra tests/test_examples.py || return 1
    for example in "pytorch_network.py" "keras_network.py" "toy_arithmetic.py --networks 1 --processes 1"; do
        printf -- '--- %s\n' "$example"
        .venv/bin/python examples/$example || return 1
    done
}

job_sanitizers() {
    command -v "${CC:-cc}" >/dev/null || { printf 'there is no C compiler here\n' && return $not_run; }
    checkout sanitizers "$(oldest_python)" && install -e '.[test]' cython setuptools &&
        PATH="$PWD/.venv/bin:$PATH" PYTHON="$PWD/.venv/bin/python" sh tests/native/sanitize.sh
}
