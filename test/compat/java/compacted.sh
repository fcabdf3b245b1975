#!/usr/bin/env bash
# Reads a compacted topic with Apache Kafka's Java client: see compacted_test.go for the lines it speaks.
# Usage: compacted.sh HOST:PORT TOPIC PARTITION:OFFSET...
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -eu
root=$(cd "$(dirname "$kafka")/../.." && pwd)
libs=$root/.cache/kafka/libs
# Without a compiler of its own the machine uses the one that came with Apache Kafka's tests.
compiler=(javac)
command -v javac >/dev/null || compiler=(java -cp "$root/.cache/kafkasuite/libs/*" org.eclipse.jdt.internal.compiler.batch.Main)
"${compiler[@]}" --release 17 -nowarn -proc:none -cp "$(printf '%s:' "$libs"/kafka-clients-*.jar)" -d "$tmp" "$(dirname "${BASH_SOURCE[0]}")/Compacted.java"
java -Xmx256M -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile="$(dirname "$kafka")/log4j2.properties" -cp "$libs/*:$tmp" Compacted "$@"
