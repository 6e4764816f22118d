#!/bin/sh
# Whether an editor can read each C file of the core alone, with the flags of compile_flags.txt. CC=... chooses
# the compiler.
set -eu
cd "$(dirname "$0")/../.."
cc=${CC:-cc}
find _ext tests/native -name '*.c' -o -name '*.h' -o -name '*.inc' | sort | while read -r file; do
    "$cc" $(cat compile_flags.txt) -Werror -fsyntax-only "$file" || { echo "$file cannot be read alone"; exit 1; }
done
echo "each file of the core can be read alone"
