# What the checks with Apache Kafka's tools have in common. Sourced; `broker` is HOST:PORT of a broker.
kafka=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../kafka" && pwd)/kafka
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0
# `set -e` works only where the outcome is not tested at once, hence the two steps; and it ignores `!`, hence not().
check() { # NAME FUNCTION
  why=$(set -eo pipefail; "$2" 2>&1)
  if [ $? = 0 ]; then echo "ok $1"; else echo "not ok $1: $(printf '%s' "$why" | tail -n 5 | tr '\n' ' ')"; failed=1; fi
}
not() { if "$@"; then return 1; fi; }
has() { grep "$@" >/dev/null; } # reads to the end, unlike grep -q, so that the writer is not cut off
t() { local tool=$1; shift; "$kafka" "$tool" --bootstrap-server "$broker" "$@"; }
