#!/usr/bin/env bash
# Checks of logins, TLS, ACLs and delegation tokens with Apache Kafka's own command line tools. Usage: security.sh SASL_SSL_ADDR SSL_ADDR DIR TOKEN_URL
# DIR has ca.pem, and client.pem with key and certificate of CN=carol; TOKEN_URL gives tokens for OAUTHBEARER to client dave with the secret of-dave. The broker knows the user admin (super user, password admin) of a file.
# Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -u
sasl=$1 ssl=$2 dir=$3 url=$4
run=$(date +%s%N)
topic="java-sec-$run" group="java-sec-$run"

trust="ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem"
login() { # NAME MECHANISM USER PASSWORD [more of the JAAS line]
  local module=scram.Scram; [ "$2" = PLAIN ] && module=plain.Plain
  printf '%s\n' "$trust" security.protocol=SASL_SSL "sasl.mechanism=$2" \
    "sasl.jaas.config=org.apache.kafka.common.security.${module}LoginModule required username=\"$3\" password=\"$4\" ${5:-};" >"$tmp/$1"
}
login admin PLAIN admin admin
login alice SCRAM-SHA-512 alice secret-of-alice
login wrong SCRAM-SHA-512 alice guessed
printf '%s\n' "$trust" security.protocol=SSL ssl.keystore.type=PEM "ssl.keystore.location=$dir/client.pem" >"$tmp/carol"
printf '%s\n' "$trust" security.protocol=SSL >"$tmp/nobody"
as() { # CONFIG TOOL ARGS...
  local config=$1 tool=$2 at=$sasl; shift 2
  case "$config" in carol | nobody) at=$ssl ;; esac
  "$kafka" "$tool" --bootstrap-server "$at" --command-config "$tmp/$config" "$@"
}
write() { echo "$2" | as "$1" kafka-console-producer --topic "$topic" --command-property max.block.ms=20000; }
read1() { as "$1" kafka-console-consumer --topic "$topic" --group "$group" --from-beginning --max-messages 1 --timeout-ms 30000; }

setup() { # the super user makes a topic, a user and ACLs
  as admin kafka-topics --create --topic "$topic" &
  as admin kafka-configs --alter --entity-type users --entity-name alice --add-config 'SCRAM-SHA-512=[iterations=4096,password=secret-of-alice]'
  as admin kafka-acls --add --allow-principal User:alice --allow-principal User:CN=carol --producer --consumer --topic "$topic" --group "$group"
  wait $!
}
scram() { # alice writes and reads over SASL_SSL
  write alice by-scram
  read1 alice | has -x by-scram
}
acls() {
  as admin kafka-acls --list --topic "$topic" | tee "$tmp/acls"
  grep 'User:alice' "$tmp/acls" | has 'operation=WRITE, permissionType=ALLOW'
}
wrong_password() {
  as wrong kafka-topics --list >"$tmp/wp" 2>&1 && return 1
  has 'SaslAuthenticationException: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512' <"$tmp/wp"
}
missing_rights() {
  as alice kafka-acls --list >"$tmp/mr" 2>&1 && return 1
  has 'ClusterAuthorizationException: Cluster authorization failed' <"$tmp/mr"
  as alice kafka-console-consumer --topic "$topic" --group "not-$group" --timeout-ms 20000 >"$tmp/mr" 2>&1 || true
  has "GroupAuthorizationException: Not authorized to access group: not-$group" <"$tmp/mr"
}
certificate() { # carol shows a certificate, her principal is its name
  write carol by-certificate
  as carol kafka-console-consumer --topic "$topic" --partition 0 --offset earliest --timeout-ms 3000 >"$tmp/cert" || true
  has -x by-certificate <"$tmp/cert"
}
no_certificate() {
  as nobody kafka-topics --list >"$tmp/nc" 2>&1 && return 1
  has -e 'SSL handshake failed' -e SslAuthenticationException <"$tmp/nc"
}
oauth() { # dave's token comes from the endpoint
  printf '%s\n' "$trust" security.protocol=SASL_SSL sasl.mechanism=OAUTHBEARER "sasl.oauthbearer.token.endpoint.url=$url" \
    sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler \
    'sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="dave" clientSecret="of-dave";' >"$tmp/dave"
  export JAVA_TOOL_OPTIONS="-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=$url"
  as dave kafka-topics --list >"$tmp/oa"
  not has "$topic" <"$tmp/oa" # he may not describe it
}
tokens() { # alice gets a token, logs in with it, renews it and ends it
  as alice kafka-delegation-tokens --create --max-life-time-period -1 --renewer-principal User:bob | tee "$tmp/token"
  read -r id key < <(awk '$3 == "User:alice" { print $1, $2 }' "$tmp/token")
  [ -n "$id" ] && [ -n "$key" ]
  login token SCRAM-SHA-256 "$id" "$key" 'tokenauth="true"'
  write token by-token
  as token kafka-delegation-tokens --describe >"$tmp/tt" 2>&1 && return 1
  has DelegationTokenRequestNotAllowed <"$tmp/tt" || has 'Delegation Token requests are not allowed' <"$tmp/tt"
  as alice kafka-delegation-tokens --renew --renew-time-period -1 --hmac "$key" | has 'Completed renew operation'
  as alice kafka-delegation-tokens --describe --owner-principal User:alice | has "$id"
  as alice kafka-delegation-tokens --expire --expiry-time-period -1 --hmac "$key" | has 'Completed expire operation'
  as token kafka-topics --list >"$tmp/tt" 2>&1 && return 1
  has 'SaslAuthenticationException' <"$tmp/tt"
}

check setup setup
(
  for c in acls wrong_password missing_rights no_certificate oauth; do check "$c" "$c"; done
  exit "$failed"
) &
others=$!
for c in scram certificate tokens; do check "$c" "$c"; done
wait "$others" || failed=1
exit "$failed"
