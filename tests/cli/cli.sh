#!/bin/bash
# Tests of the command, one case a call: cli.sh CASE KILN JSON_AT SOURCE_DIR. Exit status 77: skipped, with the reason.
# shellcheck disable=SC2317 # cases are called by name
set -uo pipefail
case_name=$1 kiln=$2 json_at=$3 source_dir=$4
work=$(mktemp -d)
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
export KILN_CACHE_DIR=$work/cache
unset KILN_DEVICE KILN_MODE KILN_LOG KILN_CACHE_PATH KILN_NULL_SCRIPT KILN_KERNEL_DIR
failures=0
gemm=gemm:m=8,n=16,k=16,ep=bias+relu
tower=tower:blocks=1,channels=16,inputs=4,board=5,seed=1

fail() {
    printf 'failed: %s\n' "$*" >&2
    sed 's/^/    out: /' "$work/out" >&2
    sed 's/^/    err: /' "$work/err" >&2
    failures=$((failures + 1))
}
skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# expect STATUS ARGUMENT...: runs kiln; standard output and error are in $work/out and $work/err.
expect() {
    local want=$1 got=0
    shift
    "$kiln" "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$want" ] || fail "kiln $*: exit status $got, not $want"
}
out_has() { grep -qF -- "$1" "$work/out" || fail "standard output has no '$1'"; }
err_has() { grep -qF -- "$1" "$work/err" || fail "standard error has no '$1'"; }
err_matches() { grep -qE -- "$1" "$work/err" || fail "standard error has nothing like '$1'"; }
err_empty() { [ ! -s "$work/err" ] || fail "standard error is not empty"; }
# A failure says so once, as "kiln: text", and prints no half-made JSON.
clean_failure() {
    err_has "kiln: "
    [ ! -s "$work/out" ] || fail "a failure wrote to standard output"
}
json() { "$json_at" "$1" <"$work/out" 2>/dev/null; }
json_is() {
    local got
    got=$(json "$1") || got="(nothing)"
    [ "$got" = "$2" ] || fail "$1 is $got, not $2"
}
json_positive() {
    local got
    got=$(json "$1") || got="(nothing)"
    awk -v x="$got" 'BEGIN { exit !(x + 0 > 0) }' || fail "$1 is $got, not above 0"
}

need_device() { "$kiln" devices >/dev/null 2>&1 || skip "no device: $("$kiln" devices 2>&1 | tail -n 1)"; }
need_shared() {
    net=${KILN_SHARED:-}/data/katago/g170-b6c96-s175395328-d26788732.bin.gz
    [ -f "$net" ] || skip "no shared network files (KILN_SHARED)"
    golden=${net%/*}/g170-b6c96.board9.safetensors
}

# ---- cases ----

test_help() {
    local command
    expect 0 --help && out_has "net bench" && err_empty
    expect 0 --version && out_has "kiln 0."
    for command in devices problems explain bench tune compile warm "net check" "net bench" "net explain" "cache ls" "cache verify" "cache prune" demo; do
        # shellcheck disable=SC2086 # a command may be two words
        expect 0 $command --help
        out_has "usage: kiln $command"
        out_has "Example: kiln $command"
        out_has "--json"
    done
    expect 0 net --help && out_has "net check" && out_has "net bench"
    expect 0 cache --help && out_has "cache prune"
    # Help wins over everything else that is wrong.
    expect 0 bench --nonsense --help
}

test_usage() {
    local arguments
    while read -r arguments; do
        # shellcheck disable=SC2086 # words are arguments
        expect 2 $arguments
        clean_failure
        err_has "--help"
    done <<'T'

--nonsense
nonsense
net
net nonsense
cache
devices extra
devices --nonsense
devices --device
explain
explain a b
bench gemm:m=1,n=1,k=1 --seconds nan
bench gemm:m=1,n=1,k=1 --seconds 0
bench gemm:m=1,n=1,k=1 --seconds 1x
problems x --family conv
problems x --batch 0
problems x --batch 99999999999999999999
problems x --board -3
net check x
net check x --golden
net check x --golden x --type f64
net explain x --halos some
net bench x --halos
net bench x --batch 1,,2
net bench x --batch 8,1
net bench x --batch 0
net bench x --batch 1,2,3,
net bench x --json=yes
cache ls extra
cache prune --max-bytes -1
cache prune --all=1
demo --batch 4,4
T
}

test_problem_strings() {
    local text
    while read -r text; do
        expect 1 explain "$text"
        clean_failure
    done <<'T'
nonsense:m=1
gemm
gemm:
gemm:m=1,n=1
gemm:m=0,n=1,k=1
gemm:m=-1,n=1,k=1
gemm:m=1,n=1,k=1,zz=1
gemm:m=1,m=1,n=1,k=1
gemm:m=1,n=1,k=1,
gemm:m=1,n=1,k=1x
gemm:m=1,n=1,k=1,ep=nonsense
gemm:m=1,n=1,k=1,ep=relu+mish
gemm:m=99999999999999999999,n=1,k=1
gemm:m=9223372036854775807,n=9223372036854775807,k=9223372036854775807
conv:n=8,h=19,w=19,ic=96,oc=96,kh=2,kw=2
:::
T
    expect 1 explain "$(printf 'gemm:m=1,%0.sn=1,' {1..2000})"
    clean_failure
    expect 1 explain "$(printf 'gemm:m=\377\001,n=1,k=1')"
    clean_failure
    expect 1 explain ""
    clean_failure
    expect 1 explain nonsense:m=1 && err_has nonsense
    expect 1 explain gemm:m=1,n=1,k=1,zz=1 && err_has zz
    expect 1 problems --family nonsense && clean_failure
    expect 0 problems --family gemm && out_has "k"
    expect 0 problems && out_has "conv" && out_has "gemm"
}

test_no_opencl() {
    export KILN_OPENCL_LIBRARY=$work/nonexistent.so
    expect 1 devices && out_has "$KILN_OPENCL_LIBRARY" && err_has "no device"
    expect 1 --json devices && json_is devices.length 0
    "$json_at" report <"$work/out" | grep -qF "$KILN_OPENCL_LIBRARY" || fail "the JSON report does not say why"
    expect 1 explain $gemm && clean_failure && err_has "$KILN_OPENCL_LIBRARY"
    expect 1 bench $gemm && clean_failure
    expect 1 net bench $tower && clean_failure
    # What needs no device works.
    expect 0 problems $tower --type bf16 && out_has "type=bf16"
    expect 0 problems $tower && out_has "conv:"
    expect 0 cache ls
    # A library that is not OpenCL is no better.
    export KILN_OPENCL_LIBRARY=libm.so.6
    expect 1 devices && out_has "libm.so.6"
}

test_null_device() {
    export KILN_NULL_SCRIPT=$work/script
    echo 'device name=pretend kind=gpu units=4 graphs=1 patch=1' >"$KILN_NULL_SCRIPT"
    expect 0 --json devices
    grep -q '"null:0"' "$work/out" || fail "no null:0 in kiln devices"
    expect 0 --device null:0 explain $gemm && out_has "null:0"
    expect 0 --device null explain $gemm
    KILN_DEVICE=null:0 expect 0 explain $gemm && out_has "null:0"
    expect 0 --device null:0 --json explain $gemm --variant ref
    json_is variant ref
    json_is device null:0
    json_is source request
    expect 1 --device null:7 explain $gemm && clean_failure && err_has "null:7"
    expect 1 --device nonsense explain $gemm && clean_failure && err_has "nonsense"
    expect 1 --device null:0 explain $gemm --variant nonsense && clean_failure && err_has "nonsense"
    expect 1 --device null:0 explain $gemm --variant ref --config nonsense=1 && clean_failure
    export KILN_NULL_SCRIPT=$work/nonexistent
    expect 1 --device null explain $gemm && clean_failure
}

test_modes() {
    need_device
    KILN_MODE=reference expect 0 --json explain $gemm
    json_is variant ref
    json_is source reference
    KILN_MODE=nonsense expect 1 explain $gemm && clean_failure && err_has "nonsense"
    KILN_MODE=strict expect 1 explain $gemm && clean_failure
    expect 0 --json explain $gemm && json_is source guess
}

test_json() {
    need_device
    expect 0 --json devices && json_is devices.length "$(json devices.length)" && json_positive devices.0.units
    expect 0 explain $gemm --json && json_is problem $gemm && json_positive operands.length
    expect 0 problems $tower --json && json_positive problems.length && json_positive problems.0.count
    expect 0 bench $gemm --seconds 0.01 --json && json_positive results.length
    expect 0 net bench $tower --batch 1,3 --seconds 0.01 --json
    json_is net $tower
    json_is board 5
    json_is results.length 4
    json_is results.0.batch 1
    json_is results.3.batch 3
    json_positive first_result_ms
    json_positive results.0.evals_per_s
    json_positive results.3.latency_us
    json_positive counters.binary_misses
    expect 0 cache ls --json && json_positive list.length && json_positive bytes
    expect 0 cache verify --json && json_is faults 0
}

test_bench() {
    need_device
    expect 0 bench $gemm --seconds 0.01 && out_has "ref"
    expect 0 --json bench $gemm --seconds 0.01 --variant ref
    json_is results.length 1
    json_is results.0.variant ref
    json_is results.0.reason null
    json_positive results.0.eager_us
    json_positive results.0.graph_us
    expect 0 net bench $tower --batch 2 --seconds 0.01 --variant ref --board 7 --halos none
    out_has "graph"
    expect 0 net explain $tower --batch 2 && out_has "the usual halos" && out_has "halo=1" && out_has "guess"
    expect 0 --json net explain $tower --batch 2 --halos none && json_positive problems.length
    json_is why "no halos, as asked for"
}

test_broken_output() {
    need_device
    local got=0
    "$kiln" devices >/dev/full 2>"$work/err" || got=$?
    : >"$work/out"
    [ $got = 1 ] || fail "exit status $got, not 1, with a full disk behind standard output"
    err_has "cannot write"
}

test_cache_warm() {
    need_device
    expect 0 --json net bench $tower --seconds 0.01 && json_positive counters.compiles
    expect 0 --json net bench $tower --seconds 0.01
    json_is counters.compiles 0
    json_positive counters.binary_hits
    # No store: the same result, nothing kept.
    expect 0 --json --cache-dir "" explain $gemm && json_positive counters.compiles
    expect 0 --json --cache-dir "" cache ls && json_is list.length 0
}

test_cache_corrupt() {
    need_device
    local file
    expect 0 explain $gemm
    while read -r file; do
        printf 'garbage' | dd of="$file" bs=1 seek=20 conv=notrunc 2>/dev/null
    done < <(find "$KILN_CACHE_DIR" -name '*.kbin')
    expect 1 cache verify && err_has "kiln: "
    expect 0 --json explain $gemm
    json_positive counters.binary_rejected
    json_positive counters.compiles
    [ -s "$work/err" ] || fail "nothing was said about the damaged binary"
    # Compiled anew and written whole.
    expect 0 cache verify
    # Cut short, emptied, and replaced by a folder: never a failure.
    find "$KILN_CACHE_DIR" -name '*.kbin' -exec truncate -s 10 {} +
    expect 0 explain $gemm
    find "$KILN_CACHE_DIR" -name '*.kbin' -exec truncate -s 0 {} +
    expect 0 explain $gemm
    while read -r file; do
        rm "$file"
        mkdir "$file"
    done < <(find "$KILN_CACHE_DIR" -name '*.kbin')
    expect 0 explain $gemm
    # Damaged records are skipped.
    while read -r file; do printf 'damaged line\n\0\377' >>"$file"; done < <(find "$KILN_CACHE_DIR" -name '*.log')
    expect 0 explain $gemm
}

test_cache_prune() {
    need_device
    expect 0 explain $gemm
    local file
    file=$(find "$KILN_CACHE_DIR" -name '*.kbin' | head -n 1)
    [ -n "$file" ] || fail "no binary was stored"
    truncate -s 10 "$file"
    expect 0 cache prune --dry-run && out_has "would go"
    [ -e "$file" ] || fail "--dry-run removed something"
    expect 0 --json cache prune && json_positive list.length
    [ ! -e "$file" ] || fail "the damaged binary is still there"
    expect 0 cache verify
    expect 0 explain $gemm
    expect 0 cache prune --all
    expect 0 --json cache ls && json_is list.length 0
}

test_cache_unwritable() {
    need_device
    : >"$work/file"
    expect 0 --json --cache-dir "$work/file/below" explain $gemm
    json_positive counters.compiles
    [ -s "$work/err" ] || fail "nothing was said about the folder"
    # A folder that others may write to is not trusted with code.
    mkdir -p "$work/open"
    chmod 777 "$work/open"
    expect 0 --json --cache-dir "$work/open" explain $gemm
    expect 0 --json --cache-dir "$work/open" explain $gemm && json_is counters.binary_hits 0
    if [ "$(id -u)" != 0 ]; then
        mkdir -p "$work/shut"
        chmod 500 "$work/shut"
        expect 0 --json --cache-dir "$work/shut" explain $gemm
        json_positive counters.compiles
        [ -s "$work/err" ] || fail "nothing was said about the unwritable folder"
    fi
}

test_cache_full() {
    need_device
    local inside=(unshare -m)
    [ "$(id -u)" = 0 ] || inside=(unshare -rm)
    "${inside[@]}" mount -t tmpfs -o size=8k none "$work" 2>/dev/null || skip "no tmpfs may be mounted here"
    mkdir -p "$work/full"
    # Two pages: one is taken, one is left for the folders; no binary fits.
    # shellcheck disable=SC2016 # expanded inside
    "${inside[@]}" bash -c 'mount -t tmpfs -o size=8k none "$1/full" && head -c 4096 /dev/zero >"$1/full/filler" &&
        cd / && exec "$2" --json --cache-dir "$1/full" net bench "$3" --seconds 0.01' \
        - "$work" "$kiln" $tower >"$work/out" 2>"$work/err" || fail "exit status $? on a full disk"
    json_positive counters.compiles
    json_positive counters.store_failures
    [ -s "$work/err" ] || fail "nothing was said about the full disk"
}

test_bad_nets() {
    expect 1 problems "$work/nonexistent.bin.gz" && clean_failure && err_has nonexistent
    : >"$work/empty"
    expect 1 problems "$work/empty" && clean_failure
    head -c 5000 /dev/urandom >"$work/noise"
    expect 1 problems "$work/noise" && clean_failure
    mkdir "$work/folder"
    expect 1 problems "$work/folder" && clean_failure
    local text
    for text in tower: tower:blocks=0 tower:blocks=x tower:blocks=99999999999,channels=8 tower:channels=8,channels=8 \
        tower:nonsense=1 tower:blocks=2,channels=-8; do
        case $text in tower: | tower:blocks=0) continue ;; esac
        expect 1 problems "$text" && clean_failure
    done
}

test_net_check() {
    need_shared
    need_device
    expect 0 net check "$net" --golden "$golden" --batch 37 && out_has "policy_logits"
    expect 0 --json net check "$net" --golden "$golden" --batch 5
    json_is positions 64
    json_is result ok
    json_positive outputs.length
    # A tolerance that nothing meets, a file of another net, and files that are none.
    expect 1 net check "$net" --golden "$golden" --tolerance 0 && err_has "kiln: "
    expect 1 net check "$net" --golden "${net%/*}/b7c96h3tfrs.board9.safetensors" && err_has "kiln: "
    expect 1 net check "$net" --golden "$net" && clean_failure
    expect 1 net check "$net" --golden "$work/nonexistent" && clean_failure
    head -c 100000 "$net" >"$work/cut.bin.gz"
    expect 1 net check "$work/cut.bin.gz" --golden "$golden" && clean_failure
    expect 1 net check "${net%/*}/b7c96h3tfrs-test5-cnorm.bin.gz" --golden "$golden" && clean_failure
}

test_net_types() {
    need_device
    local digits=$source_dir/examples/digits/digits-net.safetensors
    local golden=${digits%-net.safetensors}-golden.safetensors
    expect 0 net check "$digits" --golden "$golden" --type f16 --variant ref
    expect 1 net check "$digits" --golden "$golden" --type bf16 --variant ref --tolerance 0.002 && err_has "logits"
}

test_net_warm() {
    need_shared
    need_device
    expect 0 --json net bench "$net" --seconds 0.01
    expect 0 --json net bench "$net" --seconds 0.01
    json_is counters.compiles 0
    json_is counters.binary_misses 0
    json_positive counters.binary_hits
}

test_demo() {
    need_device
    mkdir "$work/tmp"
    export TMPDIR=$work/tmp
    expect 0 --json demo --net $tower --batch 1,2 --seconds 0.01 --budget 3
    json_is net.length 2
    json_positive candidates_measured
    json_positive net.0.ref_ms
    json_positive net.1.graph_ms
    json_positive net.1.untuned_ms
    json_positive records
    json_positive first_result_ms
    awk -v x="$(json net.0.max_diff)" 'BEGIN { exit !(x < 1e-3) }' || fail "outputs differ too much"
    expect 0 demo --net $tower --batch 1,2 --seconds 0.01 --budget 3
    out_has "candidates measured: 0 "
    out_has "rejected:   vec" # the faults are in kernels of this device
    out_has "quarantine: vec"
    out_has "the worker died" # of a signal, unless a sanitizer makes an exit of it
    out_has "another, sound candidate"
    expect 1 demo --net "$work/nonexistent" && err_has "kiln: "
    [ -z "$(ls -A "$TMPDIR")" ] || fail "left behind: $(ls -A "$TMPDIR")"
}

# NVRTC where the library looks, else a wheel of it below build/.
need_nvrtc() {
    local wheel
    wheel=$(find "$source_dir/build" -path '*/nvidia/*/lib/libnvrtc.so.1[23]' 2>/dev/null | sort | tail -n 1)
    [ -n "${KILN_NVRTC_LIBRARY:-}" ] || [ -z "$wheel" ] || export KILN_NVRTC_LIBRARY=$wheel
    "$kiln" compile --arch sm_80 --samples 0 gemm:m=1,n=1,k=1 >"$work/out" 2>"$work/err" ||
        skip "$(head -n 1 "$work/err")"
}

test_compile() {
    expect 2 compile gemm:m=1,n=1,k=1 && err_has "--arch takes architectures"
    expect 2 compile --arch sm_80, gemm:m=1,n=1,k=1
    expect 2 compile --arch sm_80 && err_has "give problems, or --all"
    expect 2 compile --arch sm_80 --all --variant ref
    KILN_NVRTC_LIBRARY=/nonexistent/libnvrtc.so.13 expect 1 compile --arch sm_80 gemm:m=1,n=1,k=1
    err_has "no NVRTC where KILN_NVRTC_LIBRARY says"
    need_nvrtc
    expect 0 --json compile --arch sm_80,sm_90a --samples 1 "$gemm"
    json_is candidates.0.arch sm_80
    json_is candidates.0.result ok
    json_positive candidates.0.registers
    json_positive n_programs
    json_is n_failed 0
    expect 0 --json compile --arch sm_80,sm_90a --samples 1 "$gemm"
    json_is n_programs 0 # all are in the store
    expect 1 compile --arch sm_81 "$gemm" && err_has "compiles for sm_"
    expect 1 compile --arch sm_80 gemm:m=0 && clean_failure
    expect 1 compile --arch sm_80 --variant nope "$gemm" && err_has "has no variant"
    # A kernel that does not compile is told at once, and by the exit status.
    cp -r "$source_dir/kernels" "$work/kernels"
    echo 'int broken = nothing;' >>"$work/kernels/gemm/ref.cl"
    KILN_KERNEL_DIR=$work/kernels expect 1 --json compile --arch sm_80 --samples 0 --variant ref "$gemm"
    err_has 'identifier "nothing" is undefined'
    json_is n_failed 1
    json_is candidates.0.result failed
}

test_compile_all() {
    need_nvrtc
    expect 0 --json compile --arch sm_80 --all --samples 0
    json_is n_failed 0
}

# A store filled without the GPU; what a process on it makes of that is in the tests of the simulated one.
test_arch_warm() {
    expect 2 warm "$tower" && err_has "--arch says what to compile for"
    expect 1 --cache-dir= warm "$tower" --arch sm_80 && err_has "no store to fill"
    need_nvrtc
    expect 0 --json warm "$tower" --arch sm_80 --batch 1,2
    json_is arch sm_80
    json_positive counters.compiles
    expect 0 --json warm "$tower" --arch sm_80 --batch 1,2
    json_is counters.compiles 0
    # What to ask for is what the machine with the GPU says.
    local simulated=${kiln%/*}/libsimcuda.so
    if [ -f "$simulated" ]; then
        KILN_CUDA_LIBRARY=$simulated expect 0 --json --device cuda:0 devices
        json_is devices.0.arch sm_80
        json_is devices.0.units 8
    fi
    expect 1 warm "$tower" --arch sm_8 && err_has "compiles for sm_"
    expect 1 warm "$work/none.bin.gz" --arch sm_80
}

# What README shows is what there is.
test_readme() {
    local command
    while read -r command; do
        grep -q "^kiln $command\b" <(sed -n 's/^usage: //p' <("$kiln" "${command%% *}" --help 2>/dev/null)) ||
            fail "README names the command '$command', which does not exist"
    done < <(grep -oE '`kiln (devices|problems|explain|bench|tune|compile|warm|demo|net [a-z]+|cache [a-z]+)' "$source_dir/README.md" |
        sed 's/^`kiln //' | sort -u)
}

: >"$work/out"
: >"$work/err"
"test_$case_name"
[ $failures = 0 ] || {
    printf '%d checks failed\n' "$failures" >&2
    exit 1
}
