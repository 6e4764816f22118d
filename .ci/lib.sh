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
