#!/usr/bin/env bash
# Checks of a Kafka broker with kcat. Usage: check.sh HOST:PORT
# Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed.
set -u
broker=$1
run=$(date +%s%N)
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

seq -f 'line %.0f of a text that is long enough to compress' 1 5000 >"$tmp/lines"

metadata() { kcat -b "$broker" -L >"$tmp/meta"; grep -q ' 1 brokers' "$tmp/meta"; grep -q "at $broker" "$tmp/meta"; }

codecs() {
  for z in none gzip snappy lz4 zstd; do
    kcat -b "$broker" -P -t "kcat-$z-$run" -p 0 -z "$z" <"$tmp/lines"
    kcat -b "$broker" -C -t "kcat-$z-$run" -p 0 -o beginning -e -q >"$tmp/out"
    cmp "$tmp/lines" "$tmp/out"
  done
}

idempotent() {
  kcat -b "$broker" -P -t "kcat-idem-$run" -p 0 -X enable.idempotence=true -X batch.num.messages=50 <"$tmp/lines"
  kcat -b "$broker" -C -t "kcat-idem-$run" -p 0 -o beginning -e -q >"$tmp/out"
  cmp "$tmp/lines" "$tmp/out"
}

keys_headers_offsets() {
  printf 'a:1\nb:2\nc:3\n' | kcat -b "$broker" -P -t "kcat-keys-$run" -p 0 -K: -H source=test
  kcat -b "$broker" -C -t "kcat-keys-$run" -p 0 -o beginning -e -q -f '%o %k %s %h\n' >"$tmp/out"
  printf '0 a 1 source=test\n1 b 2 source=test\n2 c 3 source=test\n' | cmp - "$tmp/out"
  kcat -b "$broker" -C -t "kcat-keys-$run" -p 0 -o -1 -e -q -f '%s\n' | has -x 3
  kcat -b "$broker" -Q -t "kcat-keys-$run:0:-1" | has 'offset 3'
}

group() {
  seq 1 100 | kcat -b "$broker" -P -t "kcat-group-$run" -p 0
  kcat -b "$broker" -G "kcat-$run" -c 100 -q -X auto.offset.reset=earliest "kcat-group-$run" >"$tmp/out" 2>/dev/null
  seq 1 100 | cmp - "$tmp/out"
  seq 101 150 | kcat -b "$broker" -P -t "kcat-group-$run" -p 0
  kcat -b "$broker" -G "kcat-$run" -c 50 -q -X auto.offset.reset=earliest "kcat-group-$run" >"$tmp/out" 2>/dev/null
  seq 101 150 | cmp - "$tmp/out"
}

acks() {
  for a in 0 1 all; do seq 1 100 | kcat -b "$broker" -P -t "kcat-acks-$a-$run" -p 0 -X acks="$a"; done
  for a in 0 1 all; do
    kcat -b "$broker" -C -t "kcat-acks-$a-$run" -p 0 -o beginning -c 100 -q >"$tmp/out"
    seq 1 100 | cmp - "$tmp/out"
  done
}

check metadata metadata
check codecs codecs
check idempotent idempotent
check 'keys, headers and offsets' keys_headers_offsets
check 'consumer group' group
check acks acks
exit $failed
