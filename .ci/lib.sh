# Functions of .ci/run.

failed=()
passed=()
started=$SECONDS

copy_checkout() { # FOLDER: what git tracks, or would track, as it is on disk now
    mkdir -p "$1" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ -e "$file" ] && printf '%s\0' "$file"
    done | tar --null --files-from=- -cf - | tar -xf - -C "$1"
}

readme_line() { # N: the N-th line of the first code block of the README
    sed -n '/^```/,/^```/p' README.md | sed 1d | sed -n "${1}p"
}

in_folder() { # FOLDER COMMAND…
    (cd "$1" && shift && "$@")
}

check() { # NAME COMMAND…: run it, remember how it went; the output is shown where it failed, its end where it passed
    local name=$1 log from=$SECONDS
    shift
    log=$(mktemp "$work/log.XXXXXX")
    printf '\n=== %s\n' "$name"
    if "$@" >"$log" 2>&1; then
        tail -n 40 "$log"
        passed+=("$name ($((SECONDS - from)) s)")
    else
        cat "$log"
        failed+=("$name ($((SECONDS - from)) s)")
    fi
}

end_class() { # NAME: stop here if something failed; after the last class say that all is well
    if [ ${#failed[@]} -gt 0 ]; then
        summary
        printf 'The gate is CLOSED: %s failed.\n' "$1"
        exit 1
    fi
    if [ "$1" = "the wheel" ]; then
        summary
        printf 'The gate is OPEN.\n'
    fi
}

summary() {
    printf '\n=== summary after %d s\n' "$((SECONDS - started))"
    [ ${#passed[@]} -eq 0 ] || printf 'passed  %s\n' "${passed[@]}"
    [ ${#failed[@]} -eq 0 ] || printf 'FAILED  %s\n' "${failed[@]}"
}

with_kernels() { # NAME PYTHON: what would show that a BLAS adds in another order at some places (others' names mean nothing to it)
    OPENBLAS_CORETYPE=$1 "$2" -m pytest -q -n auto tests/kernels/test_ties.py tests/kernels/test_backends_ties.py tests/kernels/test_relatives_ties.py \
        tests/kernels/test_backends_bits.py tests/formats/test_onnx_networks.py
}

wheel_alone() { # VENV WHEEL: with NumPy and nothing else the library works, and the command line names what it misses
    "$python" -m venv "$1" && "$1/bin/python" -m pip install --quiet "$2" &&
        "$1/bin/python" -c 'import lrp_ref; print("lrp_ref", lrp_ref.__version__, "from", lrp_ref.__file__)' || return 1
    local said
    if said=$("$1/bin/lrp-ref" rules 2>&1); then
        printf 'lrp-ref ran without its extra\n' && return 1
    fi
    printf '%s\n' "$said"
    [[ $said == *"lrp_ref[cli]"* && $said != *Traceback* ]]
}

wheel_demo() { # VENV WHEEL CONSTRAINTS: the demo on the oldest dependencies that the package claims to support
    local oldest=()
    # The oldest versions have wheels for the oldest Pythons only.
    if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then oldest=(--constraint "$3"); fi
    "$python" -m venv "$1" && "$1/bin/python" -m pip install --quiet "${oldest[@]}" "$2[cli,plot]" &&
        "$1/bin/python" -m pip list && "$1/bin/lrp-ref" demo --out pictures && ls -l pictures
}

wheel_core() { # WHEEL: the compiled core is inside, if there is a compiler, without symbols; the whole is at most 1.6 MB
    # 1.5 was the budget; the other methods are 0.09 MB of Python. What would give it back: no baseline on x86-64 (0.13 MB)
    "$python" - "$1" <<'PROGRAM'
import os
import shutil
import sys
import zipfile

path = sys.argv[1]
with zipfile.ZipFile(path) as archive:
    cores = [info for info in archive.infolist() if info.filename.startswith("lrp_ref/kernels/compiled/_core.") and not info.filename.endswith(".pyi")]
    for info in cores:
        print(f"{info.filename}: {info.file_size / 1e6:.2f} MB, {info.compress_size / 1e6:.2f} MB packed")
        if b".symtab" in archive.read(info):
            sys.exit("the compiled core has symbols: it is not stripped")
size = os.path.getsize(path)
print(f"{os.path.basename(path)}: {size / 1e6:.2f} MB")
if not cores and any(map(shutil.which, ("cc", "gcc", "clang"))):
    sys.exit("the compiled core is not in the wheel, and there is a C compiler")
if not cores:
    print("THERE IS NO C COMPILER HERE: the wheel is without the compiled core, and nothing of that was checked")
if size > 1.6e6:
    sys.exit("the wheel is larger than 1.6 MB")
PROGRAM
}

without_compiler() { # VENV SDIST: where there is none, the sdist installs, says so, and works
    mkdir "$1.empty" && "$python" -m venv "$1" || return 1
    local log
    log=$(CC=no-such-compiler PATH="$1.empty" "$1/bin/python" -m pip install --verbose "$2" 2>&1) || { printf '%s\n' "$log"; return 1; }
    grep -m 1 'without its compiled core' <<<"$log" || { printf 'nothing said that there is no compiled core\n'; return 1; }
    "$1/bin/python" -c 'import lrp_ref; print(*lrp_ref.BACKENDS); assert "compiled" not in lrp_ref.BACKENDS'
}

without_extension() { # FOLDER PYTHON: the tests of plans and backends in a checkout whose extension is not built
    (cd "$1" && rm -f lrp_ref/kernels/compiled/_core.*.so && "$2" -c 'import lrp_ref; assert "compiled" not in lrp_ref.BACKENDS, lrp_ref.BACKENDS' &&
        "$2" -m pytest -q -n auto tests/kernels/test_backends.py tests/test_explainer.py tests/kernels/test_kernels.py tests/propagate/test_plan.py)
}
