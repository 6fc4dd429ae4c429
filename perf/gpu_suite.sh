#!/bin/bash
# Checks and measures Kiln on a machine with a real GPU, in less than ten minutes, with nothing installed:
#     perf/gpu_suite.sh OUTDIR [DEVICE]
# Takes the `portable` build (./quickstart build --with portable; KILN_BUILD names another folder). Writes to OUTDIR:
#     devices.json   the machine: driver, GPU, limits, Kiln's commit
#     check.txt      every kernel against its oracle on the GPU
#     hardware.txt   instructions and fragment layouts: the GPU beside the simulated one
#     tune.json      what tuning found
#     bench.json     every variant of the suite's problems, tuned
#     nets.json      a KataGo net (KILN_NET, if it is set) and the seeded tower
#     torch.json     PyTorch and its libraries in turns with Kiln, if python3 has PyTorch
#     table.txt      the short form of all that, also printed last
# Exit status: 0 if everything that ran was right; 77 if there is no GPU.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
[ $# -ge 1 ] || {
    sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
mkdir -p "$1"
out=$(cd "$1" && pwd)
device=${2:-cuda:0}
build=${KILN_BUILD:-build/portable}
suite=${KILN_SUITE:-perf/suites/gpu.txt}
export KILN_CACHE_DIR=${KILN_CACHE_DIR:-$(mktemp -d)} KILN_SOURCE_DIR=$PWD KILN_DEVICE=$device
kiln=$build/kiln
failed=()

# NAME SECONDS COMMAND...: one part, under a time limit.
part() {
    local name=$1 limit=$2 begin=$SECONDS status
    shift 2
    timeout "$limit" "$@"
    status=$?
    [ $status -eq 0 ] || failed+=("$name (exit status $status)")
    echo "$name: $((SECONDS - begin)) s, exit status $status" >>"$out/parts.tmp"
    return 0
}

devices() {
    printf '{"date": "%s", "commit": "%s", "devices": ' "$(date -u +%FT%TZ)" \
        "$(git rev-parse --short HEAD 2>/dev/null || cat COMMIT 2>/dev/null || echo unknown)"
    "$kiln" --json devices
    printf ', "nvidia_smi": "%s"}\n' "$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit \
        --format=csv,noheader 2>/dev/null | head -1)"
}

check() {
    local status=0 family
    for family in gemm conv affine global_pool se_block block; do
        timeout 60 "$build/check" --device "$device" --family "$family" --samples "${KILN_SAMPLES:-2}" || status=1
    done
    return $status
}

tune() {
    local status=0 problem
    while read -r problem; do
        case $problem in '' | '#'*) continue ;; esac
        "$kiln" --json tune "$problem" --budget "${KILN_BUDGET:-5s}" </dev/null || status=1
    done <"$suite"
    return $status
}

nets() {
    local status=0
    "$kiln" --json net bench tower: --batch 1,8,64 --seconds 1 || status=1
    if [ -n "${KILN_NET:-}" ]; then
        "$kiln" --json net bench "$KILN_NET" --board 19 --batch 1,16,64 --seconds 1 || status=1
    fi
    return $status
}

export -f devices check tune nets
export kiln build device suite
: >"$out/parts.tmp"
"$kiln" devices | grep -q "$device" || {
    echo "gpu_suite: no device $device here; $kiln devices says which there are" >&2
    exit 77
}
part devices 30 bash -c devices >"$out/devices.json"
part check 150 bash -c check >"$out/check.txt" 2>&1
if [ -x "$build/simcuda_hardware" ]; then
    part hardware 40 "$build/simcuda_hardware" >"$out/hardware.txt" 2>&1
fi
part tune 130 bash -c tune >"$out/tune.json" 2>"$out/tune.log"
part bench 60 env KILN="$kiln" perf/bench.sh "$suite" --seconds 0.1 >"$out/bench.json" 2>>"$out/tune.log"
part nets 60 bash -c nets >"$out/nets.json" 2>>"$out/tune.log"
if python3 -c 'import torch' 2>/dev/null; then
    part torch 110 perf/peers/torch_compare.py --kiln "$kiln" --limit 90 --json "$out/torch.json" "$suite" \
        perf/suites/attention.txt >"$out/torch.txt" 2>>"$out/tune.log"
fi

{
    echo "parts"
    cat "$out/parts.tmp"
    echo
    echo "check"
    grep -E 'FAILED|^ *[a-z_]+ +[a-z_]+ +[0-9]' "$out/check.txt" | tail -40
    [ -f "$out/hardware.txt" ] &&
        grep -E 'DIFFERS|cases differ|error [0-9]+ on the|simcuda_hardware:' "$out/hardware.txt" | tail -12
    [ -f "$out/torch.txt" ] && cat "$out/torch.txt"
    [ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[@]}"
} >"$out/table.txt"
rm -f "$out/parts.tmp" "$out/torch.txt"
[ -s "$out/tune.log" ] && [ ${#failed[@]} -gt 0 ] && tail -20 "$out/tune.log" >>"$out/table.txt"
rm -f "$out/tune.log"
cat "$out/table.txt"
[ ${#failed[@]} -eq 0 ]
