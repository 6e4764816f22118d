#!/bin/sh
# The compiled core's tests with AddressSanitizer and UndefinedBehaviorSanitizer, and the thread pool with ThreadSanitizer.
#
#     sh tests/native/sanitize.sh [pytest arguments]        PYTHON=..., CC=... choose others
#
# Everything is built and run in a temporary folder; the checkout's own extension is left alone. The tests of all backends
# can be named as arguments; without any, those of the extension are run.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
cc=${CC:-cc}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# As setup.py has them, but -g, so that a report names lines, and no fused operations: what the sanitizers put in between
# parts a product from its sum in some functions and not in others, and the bits of these would differ.
flags="-std=gnu11 -O1 -g -Wall -Wextra -Wno-psabi -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-omit-frame-pointer"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=undefined"

echo "== the thread pool, with ThreadSanitizer"
$cc $flags -fsanitize=thread -I"$here/_ext" "$here/tests/native/threads_check.c" "$here/_ext/threads.c" -o "$scratch/threads" -pthread
TSAN_OPTIONS="die_after_fork=0 halt_on_error=1" "$scratch/threads"

echo "== the extension, with AddressSanitizer and UndefinedBehaviorSanitizer"
cp -r "$here/lrp_ref" "$here/tests" "$here/pyproject.toml" "$scratch/"
rm -f "$scratch"/lrp_ref/_ext*.so
(cd "$here" && "$python" -m cython -3 _ext/_ext.pyx -o "$scratch/_ext.c")
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
for source in "$here/_ext/core.c" "$here/_ext/threads.c" "$scratch/_ext.c"; do
    $cc $flags -Wno-unused-parameter -Wno-sign-compare $sanitize -fPIC -I"$here/_ext" -I"$include" -c "$source" -o "$scratch/$(basename "$source" .c).o" &
done
wait
$cc $sanitize -shared "$scratch/core.o" "$scratch/threads.o" "$scratch/_ext.o" -o "$scratch/lrp_ref/_ext$suffix" -pthread

# The interpreter is not instrumented: its leaks are its own. A limit of memory leaves no room for the sanitizer's own.
cd "$scratch"
[ $# -gt 0 ] || set -- tests/test_ext*.py
for set in "" x86-64-v3 baseline; do
    echo "== instruction set: ${set:-the best}"
    LD_PRELOAD=$($cc -print-file-name=libasan.so) \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LRP_REF_INSTRUCTION_SET=$set PYTHONPATH=$scratch PYTHONMALLOC=malloc \
        "$python" -m pytest -q -x -p no:cacheprovider -k "not no_memory" "$@"
done
