#!/bin/bash
# Measures every problem of a suite: perf/bench.sh SUITE [KILN ARGUMENT...], e.g.
#     perf/bench.sh perf/suites/tower.txt --seconds 0.5 --variant vec
# One JSON object a problem, as `kiln bench --json` prints it. KILN is the command (default build/release/kiln).
set -euo pipefail
[ $# -gt 0 ] || {
    echo "usage: perf/bench.sh SUITE [ARGUMENT of kiln bench...]" >&2
    exit 2
}
suite=$1
shift
kiln=${KILN:-$(dirname "${BASH_SOURCE[0]}")/../build/release/kiln}
status=0
while read -r problem; do
    case $problem in '' | '#'*) continue ;; esac
    "$kiln" --json bench "$@" -- "$problem" </dev/null || status=1
done <"$suite"
exit $status
