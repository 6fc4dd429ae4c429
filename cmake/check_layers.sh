#!/bin/bash
# Which folder may include what: include/kiln <- runtime <- kernels <- graphs <- tuner <- nets; cli and perf see
# include/kiln alone. CMake's include paths enforce it when compiling; this reads the text, so that a path written out
# ("../tuner/x.h") or a header of the same name elsewhere cannot slip through. Also reports long files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failures=0

complain() {
    printf '%s\n' "$*" >&2
    failures=$((failures + 1))
}

# Every #include of the project's own kind in a file: "x.h" and <kiln/x.h>.
includes() { sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]+(["<][^">]+[">]).*/\1/p' "$1"; }

# The layer that has a header, for names given as "x.h"; the folder of the includer is searched first.
home_of() { # includer's layer, header
    local layer
    for layer in "$1" runtime kernels graphs tuner nets; do
        [ -e "$layer/$2" ] && echo "$layer" && return
    done
    echo unknown
}

rank() {
    case $1 in
        runtime) echo 1 ;;
        kernels) echo 2 ;;
        graphs) echo 3 ;;
        tuner) echo 4 ;;
        nets) echo 5 ;;
        *) echo 9 ;;
    esac
}

check_inner() { # layer, file
    local include name home
    while read -r include; do
        case $include in
            '"'*'"')
                name=${include//\"/}
                [[ $name == embedded.h || $name == *.def || $name == *.fn ]] && continue
                [[ $name == *..* ]] && complain "$2: $include leaves its folder" && continue
                [[ -e $(dirname "$2")/$name ]] && continue
                home=$(home_of "$1" "$name")
                [ "$home" != unknown ] || { complain "$2: $include is in no layer" && continue; }
                [ "$(rank "$home")" -le "$(rank "$1")" ] || complain "$2: $1 must not include $include of $home"
                ;;
        esac
    done < <(includes "$2")
}

check_outer() { # file: only <kiln/…>, system headers, and headers of its own folder
    local include name
    while read -r include; do
        name=${include//\"/}
        case $include in
            '"'*'"') [[ $name != */* && -e $(dirname "$1")/$name ]] || complain "$1: $include is not of its own folder" ;;
        esac
    done < <(includes "$1")
}

check_device() { # file
    local include
    while read -r include; do
        case $include in
            '"dialect.h"' | '"epilogue.h"' | '"floats.h"' | '"mma.h"' | '"mma_tile.h"' | '"winograd_transform.h"') ;;
            *) complain "$1: device code must not include $include" ;;
        esac
    done < <(includes "$1")
}

check_length() { # limit, file
    local n
    n=$(wc -l <"$2")
    [ "$n" -le "$1" ] || complain "$2: $n lines, more than $1; split it"
}

for layer in runtime kernels graphs tuner nets; do
    while read -r file; do
        check_inner "$layer" "$file"
        check_length 600 "$file"
    done < <(find "$layer" -name '*.[ch]' | sort)
done
while read -r file; do
    check_inner include "$file"
    grep -qE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$file" && complain "$file: a public header includes by <kiln/…>"
done < <(find include -name '*.h' | sort)
while read -r file; do
    check_outer "$file"
    check_length 600 "$file"
done < <(find cli perf -name '*.[ch]' | sort)
while read -r file; do
    check_device "$file"
    check_length 400 "$file"
done < <(find kernels -name '*.cl' -o -name '*.cu' -o -name '*.hip' | sort)
while read -r file; do check_length 600 "$file"; done < <(find tests -name '*.[ch]' | sort)

[ "$failures" = 0 ] || {
    printf '%d layering faults\n' "$failures" >&2
    exit 1
}
echo "layers: sound"
