#!/usr/bin/env bash
# Keeps a producer and a group running, or reads a topic, with Apache Kafka's Java client: see failover_test.go for the lines it speaks.
# Usage: failover.sh load HOST:PORT,... TOPIC GROUP
#        failover.sh read HOST:PORT,... TOPIC COUNT
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -eu
mode=$1 broker=$2 topic=$3 last=$4

# words EVENT WORD FIELD...: of the JSON lines of an event, a line WORD and the values of the fields. Not awk: mawk keeps its input back.
words() {
  local event=$1 word=$2 line out name; shift 2
  while IFS= read -r line; do
    case "$line" in
      *'"name":"producer_send_error"'*) echo "error $line" ;;
      *'"name":"'"$event"'"'*)
        out=$word
        for name; do [[ $line =~ \"$name\":\"?([0-9]+) ]] && out+=" ${BASH_REMATCH[1]}"; done
        echo "$out" ;;
    esac
  done
}

load() {
  cat >"$tmp/producer" <<-END
	acks=all
	enable.idempotence=true
	retries=2147483647
	END
  mkfifo "$tmp/p" "$tmp/c"
  words producer_send_success acked partition offset value <"$tmp/p" & acks=$!
  words record_data consumed partition offset <"$tmp/c" & reads=$!
  member=(--session-timeout 10000)
  if [ "${GROUP_PROTOCOL:-}" = consumer ]; then member=(--group-protocol consumer); fi # where the session is the broker's to choose
  # Not with t(): the process to signal is Java itself.
  "$kafka" kafka-verifiable-producer --bootstrap-server "$broker" --topic "$topic" --throughput "${RATE:-200}" --repeating-keys 60 --command-config "$tmp/producer" >"$tmp/p" & producer=$!
  "$kafka" kafka-verifiable-consumer --bootstrap-server "$broker" --topic "$topic" --group-id "$last" --reset-policy earliest "${member[@]}" --verbose >"$tmp/c" & consumer=$!
  trap 'kill -KILL $producer $consumer 2>/dev/null; rm -rf "$tmp"; exit 1' TERM
  read -r _ || true
  kill -TERM "$producer" # it sends what it has, and ends
  wait "$producer" "$acks" || true
  echo flushed
  cat >/dev/null
  kill -TERM "$consumer"
  wait "$consumer" || true
  wait "$reads" || true
}

if [ "$mode" = load ]; then
  load
else
  t kafka-console-consumer --topic "$topic" --from-beginning --max-messages "$last" --formatter-property print.partition=true \
    --formatter-property print.offset=true | sed -n 's/^Partition:\([0-9]*\)\tOffset:\([0-9]*\)\t\(.*\)$/read \1 \2 \3/p'
fi
