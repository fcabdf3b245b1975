"""Checks of logins, TLS and ACLs with confluent-kafka (librdkafka). Usage: security.py SASL_SSL_ADDR SSL_ADDR DIR TOKEN_URL

DIR has ca.pem, and client.pem with key and certificate of CN=carol; TOKEN_URL gives tokens for OAUTHBEARER to client dave with the secret of-dave.
The broker knows the user admin (super user, password admin) of a file.
Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed."""
import sys
import traceback
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

SASL, SSL, DIR, URL = sys.argv[1:5]
RUN = uuid.uuid4().hex[:8]
TOPIC, GROUP, CLOSED = f"py-sec-{RUN}", f"py-sec-{RUN}", f"py-closed-{RUN}"
TRUST = {"ssl.ca.location": f"{DIR}/ca.pem", "socket.timeout.ms": 10000}
USER = f"bob-{RUN}"


def login(mechanism, user, password):
    return {"bootstrap.servers": SASL, "security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.username": user,
            "sasl.password": password, **TRUST}


ADMIN = login("PLAIN", "admin", "admin")
BOB = login("SCRAM-SHA-256", USER, "secret-of-bob")
CAROL = {"bootstrap.servers": SSL, "security.protocol": "SSL", "ssl.certificate.location": f"{DIR}/client.pem", "ssl.key.location": f"{DIR}/client.pem", **TRUST}
DAVE = {"bootstrap.servers": SASL, "security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "dave", "sasl.oauthbearer.client.secret": "of-dave", "sasl.oauthbearer.token.endpoint.url": URL, **TRUST}


def allow(who, kind, name, *operations):
    return [AclBinding(kind, name, ResourcePatternType.LITERAL, who, "*", op, AclPermissionType.ALLOW) for op in operations]


def setup():
    """The super user makes topics, a user and ACLs."""
    admin = AdminClient(ADMIN)
    made = list(admin.create_topics([NewTopic(TOPIC, 1), NewTopic(CLOSED, 1)]).values())
    made += admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"secret-of-bob")]).values()
    acls = []
    for who in (f"User:{USER}", "User:CN=carol", "User:dave"):
        acls += allow(who, ResourceType.TOPIC, TOPIC, AclOperation.READ, AclOperation.WRITE) + allow(who, ResourceType.GROUP, GROUP, AclOperation.READ)
    made += admin.create_acls(acls).values()
    for f in made:
        f.result(30)


def produce(config, topic):
    outcome = []
    p = Producer({**config, "message.timeout.ms": 20000})
    p.produce(topic, value=b"x", on_delivery=lambda err, msg: outcome.append(err))
    assert p.flush(30) == 0, "the record was not delivered"
    return outcome[0]


def works(config):
    """Writes and reads a record of the topic that is allowed, and is refused one that is not."""
    err = produce(config, TOPIC)
    assert err is None, err
    c = Consumer({**config, "group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    c.subscribe([TOPIC])
    m = c.poll(30)
    assert m is not None and m.error() is None and m.value() == b"x", m and m.error()
    c.commit(asynchronous=False)
    c.close()
    err = produce(config, CLOSED)
    assert err is not None and err.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, err


def plain():
    assert CLOSED in AdminClient(ADMIN).list_topics(timeout=20).topics


def scram():
    works(BOB)


def certificate():
    works(CAROL)


def oauthbearer():
    works(DAVE)


def refused(config, *codes):
    """Connects in vain, and is told why."""
    errors = []
    a = AdminClient({**config, "error_cb": lambda e: errors.append(e.code())})
    try:
        a.list_topics(timeout=5)
    except KafkaException:
        a.poll(1)
        assert any(c in errors for c in codes), errors
        return
    raise AssertionError("nobody refused it")


def wrong_password():
    refused(login("SCRAM-SHA-256", USER, "guessed"), KafkaError._AUTHENTICATION)
    refused(login("PLAIN", "admin", "guessed"), KafkaError._AUTHENTICATION)


def no_certificate():
    refused({k: v for k, v in CAROL.items() if not k.startswith(("ssl.key", "ssl.cert"))}, KafkaError._SSL, KafkaError._TRANSPORT)


def missing_rights():
    c = Consumer({**BOB, "group.id": f"not-{GROUP}"})
    c.subscribe([TOPIC])
    m = c.poll(20)
    assert m is not None and m.error() is not None and m.error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED, m
    c.close()
    bob = AdminClient(BOB)
    try:
        for f in bob.create_topics([NewTopic(f"not-{RUN}", 1)]).values():
            f.result(20)
    except KafkaException as e:
        assert e.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, e
        return
    raise AssertionError("bob made a topic")


failed = False
for check in (setup, plain, scram, certificate, oauthbearer, wrong_password, no_certificate, missing_rights):
    try:
        check()
        print(f"ok {check.__name__}", flush=True)
    except Exception as e:
        failed = True
        traceback.print_exc()
        print(f"not ok {check.__name__}: {e!r}", flush=True)
sys.exit(1 if failed else 0)
