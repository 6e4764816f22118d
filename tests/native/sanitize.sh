#!/bin/sh
# The compiled core's tests with AddressSanitizer and UndefinedBehaviorSanitizer, its threads with ThreadSanitizer.
#
#     sh tests/native/sanitize.sh [pytest arguments]        PYTHON=..., CC=... choose others
#
# Everything is built and run in a temporary folder; the checkout's own extension is left alone. Without arguments the
# tests of the extension are run, with every instruction set that the processor has.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
cc=${CC:-cc}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# As setup.py has them, but -g, so that a report names lines. Not below -O2: fused operations would be parted, and some
# tests compare the bits of two functions.
flags="-std=gnu11 -O2 -g -Wall -Wextra -Wno-psabi -DLRP_DEBUG"
flags="$flags -ffp-contract=fast -fno-math-errno -fno-trapping-math -fno-omit-frame-pointer"

sh "$here/tests/native/parse.sh"

echo "== preconditions: each is broken on purpose"
ours="$here/_ext/core.c $here/_ext/common/memory.c $here/_ext/common/threads.c"
$cc -std=gnu11 -O0 -w -DLRP_DEBUG -I"$here/_ext" "$here/tests/native/broken.c" $ours -o "$scratch/broken" -pthread -lm
"$scratch/broken"

echo "== threads: ThreadSanitizer"
thread="$flags -fsanitize=thread -I$here/_ext"
$cc $thread "$here/tests/native/race_pool.c" "$here/_ext/common/threads.c" -o "$scratch/race_pool" -pthread
$cc $thread "$here/tests/native/race_kernels.c" $ours -o "$scratch/race_kernels" -pthread
TSAN_OPTIONS="die_after_fork=0 halt_on_error=1" "$scratch/race_pool"
TSAN_OPTIONS="halt_on_error=1" "$scratch/race_kernels"

echo "== memory: AddressSanitizer and UndefinedBehaviorSanitizer"
cp -r "$here/lrp_ref" "$here/tests" "$here/pyproject.toml" "$scratch/"
rm -f "$scratch"/lrp_ref/kernels/compiled/_core*.so
(cd "$here" && "$python" -m cython -3 _ext/cython/_core.pyx -o "$scratch/_core.c")
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
memory="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fPIC"
# Without threads memory.c keeps no blocks for the next call: each is watched from its own beginning to its own end.
$cc $flags $memory -I"$here/_ext" -c "$here/_ext/core.c" -o "$scratch/core.o"
$cc $flags $memory -DLRP_NO_THREADS -I"$here/_ext" -c "$here/_ext/common/memory.c" -o "$scratch/memory.o"
$cc $flags $memory -I"$here/_ext" -c "$here/_ext/common/threads.c" -o "$scratch/threads.o"
interface=$(sed -n 's/^INTERFACE = //p' "$here/lrp_ref/kernels/compiled/native.py")
$cc -O1 -w $memory -DLRP_INTERFACE="$interface" -I"$here/_ext" -I"$include" -c "$scratch/_core.c" -o "$scratch/_core.o"
module=$scratch/lrp_ref/kernels/compiled/_core$suffix
(cd "$scratch" && $cc $memory -shared core.o memory.o threads.o _core.o -o "$module" -pthread)

# Nothing is captured (-s): a report would be lost with the process. The interpreter is not instrumented: its leaks are
# its own. A limit of memory leaves no room for the sanitizer's own, and no block waits in this build.
cd "$scratch"
[ $# -gt 0 ] || set -- tests/kernels/test_ext*.py
for set in "" x86-64-v3 baseline; do
    echo "== instruction set: ${set:-the best}"
    LD_PRELOAD=$($cc -print-file-name=libasan.so) \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LRP_REF_INSTRUCTION_SET=$set PYTHONPATH=$scratch PYTHONMALLOC=malloc \
        "$python" -m pytest -q -x -s -p no:cacheprovider -k "not no_memory and not what_waits" "$@"
done
