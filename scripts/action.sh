#!/bin/sh
# The GitHub Action's program: runs cfadmin with the inputs in action.yml, which come as variables.
set -eu

refuse() {
    echo "action: $1" >&2
    exit 2
}

case $INPUT_COMMAND in
wait) set -- wait ;;
# Nobody could answer the question that cfadmin asks before it purges everything.
invalidate) set -- invalidate --wait --yes ;;
*) refuse "unknown command; use wait or invalidate" ;;
esac

# Values are attached to their options, and the target follows a --, so that no value becomes an option.
# cfadmin refuses the options that do not belong to the command.
set -- "$@" "--timeout=$INPUT_TIMEOUT"
[ -z "$INPUT_CHANGED" ] || set -- "$@" "--changed=$INPUT_CHANGED"
[ -z "$INPUT_SINCE" ] || set -- "$@" "--since=$INPUT_SINCE"
[ -z "$INPUT_UPLOADED" ] || set -- "$@" "--uploaded=$INPUT_UPLOADED"
[ -z "$INPUT_FUNCTION" ] || set -- "$@" "--function=$INPUT_FUNCTION"
[ -z "$INPUT_PATHS" ] || set -- "$@" --file=-
case $INPUT_OR_INVALIDATE in
"" | false) ;;
true) set -- "$@" --or-invalidate ;;
*) refuse "or-invalidate is neither true nor false" ;;
esac
case $INPUT_ALL in
"" | false) ;;
true) set -- "$@" --all ;;
*) refuse "all is neither true nor false" ;;
esac
set -- "$@" -- "$INPUT_TARGET"

cfadmin=$INPUT_CFADMIN
if [ -z "$cfadmin" ]; then
    root=$(cd "$(dirname "$0")/.." && pwd)
    # In the folder of the project, because rustup looks there for the compiler's version.
    (
        cd "$root"
        cargo build --locked --release --bin cfadmin --no-default-features --features cli --target-dir target
    )
    cfadmin=$root/target/release/cfadmin
fi

printf '%s' "$INPUT_PATHS" | "$cfadmin" "$@"
