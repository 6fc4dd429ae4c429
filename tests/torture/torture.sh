#!/bin/bash
# Tunes on a scripted device while everything goes wrong, and checks after each blow that no finished trial was lost, that
# no file of the cache is damaged beyond one cut line, that no process is left behind, and that the plan is a valid one.
# usage: torture.sh KILN [--kills N] [--processes N] [--seed N]
set -u
kiln=$1
shift
kills=100 processes=8 seed=1
while [ $# -gt 1 ]; do
    case $1 in
    --kills) kills=$2 ;;
    --processes) processes=$2 ;;
    --seed) seed=$2 ;;
    *) echo "usage: $0 KILN [--kills N] [--processes N] [--seed N]"; exit 2 ;;
    esac
    shift 2
done
RANDOM=$seed
dir=$(mktemp -d)
mounted=
finish() {
    pkill -KILL -f "$dir/worker" 2>/dev/null
    [ -n "$mounted" ] && umount "$mounted" 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# A worker of our own name, so that what is left behind can be told from others'.
mkdir "$dir/worker"
cp "$(dirname "$kiln")/kiln-worker" "$dir/worker/kiln-worker" || fail "no kiln-worker beside $kiln"
export KILN_WORKER=$dir/worker/kiln-worker KILN_NULL_SCRIPT=$dir/script KILN_CACHE_DIR=$dir/cache KILN_LOG=error
cat >"$KILN_NULL_SCRIPT" <<'S'
device name=a kind=gpu units=4 graphs=1 patch=1
compute result=zeros
time call=kernel us=100
time kernel=gemm_tile us=30 defines=KP_WM=2
time kernel=gemm_tile us=20 defines=KP_WN=1
compute kernel=gemm_tile result=crash defines=KP_TM=16
compute kernel=gemm_tile result=ones defines=KP_TN=16
time kernel=gemm_tile us=1 defines=KP_TN=16
S
problem=gemm:m=64,n=64,k=64,ep=relu
exec_tune() { exec "$kiln" tune "$problem" --device null:0 --strategy random --variant tile --budget 60s "$@" >"$dir/out" 2>&1; }
tune() { (exec_tune "$@"); }
trials() { cat "$KILN_CACHE_DIR"/rec/*/*/*.log 2>/dev/null | grep -ac '"variant":"tile".*}$'; }
distinct() { cat "$KILN_CACHE_DIR"/rec/*/*/*.log 2>/dev/null | grep -ao '"config":"tm[^"]*"' | sort | uniq -d | wc -l; }
no_orphans() {
    for _ in $(seq 50); do
        pgrep -f "$dir/worker/kiln-worker" >/dev/null || return 0
        sleep 0.1
    done
    fail "a worker outlived its keeper $*"
}
good_plan() {
    local plan
    plan=$("$kiln" explain "$problem" --device null:0 2>&1) || fail "no plan $*: $plan"
    case $plan in *tn=16,*|*tm=16,*) fail "a bad candidate is the plan $*: $plan" ;; esac
}

echo "== killed at random moments, $kills times"
before=0
for i in $(seq "$kills"); do
    (exec_tune --seed "$i") &
    pid=$!
    sleep "0.$(printf %03d $((RANDOM % 600)))"
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    now=$(trials)
    [ "$now" -ge "$before" ] || fail "kill $i: $before trials were on record, now $now"
    before=$now
done
no_orphans "after the kills"
[ "$before" -gt 0 ] || fail "nothing was recorded between $kills kills"
cut=$("$kiln" cache verify --json 2>/dev/null | grep -c '"n_bad_lines":[[:space:]]*[2-9]')
[ "$cut" -eq 0 ] || fail "more than one line of a file is damaged"
[ "$(distinct)" -eq 0 ] || fail "a recorded candidate was measured again"
good_plan "after the kills"
echo "   $before trials on record"

echo "== $processes processes tune into one cache"
pids=()
for i in $(seq "$processes"); do
    timeout -s INT 5 "$kiln" tune "$problem" --device null:0 --strategy random --variant tile --budget 3s \
        --seed $((1000 + i)) >"$dir/out.$i" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid"
    status=$?
    [ $status -eq 0 ] || [ $status -eq 124 ] || [ $status -eq 130 ] || fail "a tuning process ended with $status"
done
no_orphans "after $processes processes"
now=$(trials)
[ "$now" -ge "$before" ] || fail "$before trials were on record, now $now"
good_plan "after $processes processes"
echo "   $now trials on record"

echo "== every record file with one byte flipped in turn"
for file in "$KILN_CACHE_DIR"/rec/*/*/*.log; do
    size=$(stat -c %s "$file")
    cp "$file" "$dir/sound"
    at=$((RANDOM * 32768 % size + RANDOM % 97))
    [ "$at" -lt "$size" ] || at=$((size - 1))
    byte=$(od -An -tu1 -j "$at" -N 1 "$file")
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((byte ^ (1 << RANDOM % 8))))" | dd of="$file" bs=1 seek="$at" conv=notrunc 2>/dev/null
    good_plan "with byte $at of a record file flipped"
    cp "$dir/sound" "$file"
done

echo "== a full disk"
if mkdir "$dir/small" && mount -t tmpfs -o size=64k tmpfs "$dir/small" 2>/dev/null; then
    mounted=$dir/small
    KILN_CACHE_DIR=$dir/small tune --seed 1 --budget 2s || fail "tuning on a full disk: $(cat "$dir/out")"
    grep -q 'candidates measured [1-9]' "$dir/out" || fail "nothing was measured on a full disk"
    no_orphans "after the full disk"
    umount "$dir/small"
    mounted=
else
    echo "   skipped: cannot mount a small file system"
fi

echo "== a home that cannot be written"
touch "$dir/file"
KILN_CACHE_DIR=$dir/file/cache tune --seed 1 --budget 2s || fail "tuning without a cache: $(cat "$dir/out")"
grep -q 'candidates measured [1-9]' "$dir/out" || fail "nothing was measured without a cache"
no_orphans "at the end"
echo "passed"
