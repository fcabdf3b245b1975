"""Cases about admin calls, and about the errors they get."""
from data_cases import refused, send_all
from read_cases import TEN, assigned, filled
from runner import case, check, until


@case("admin-topics/create-and-describe")
def _(k):
    topic = k.topic("created", 3)
    found = k.describe_topic(topic)
    check(sorted(found), [0, 1, 2], "partitions")
    ids = k.cluster()[1]
    assert all(leader in ids and len(replicas) == 1 for leader, replicas in found.values()), found


@case("admin-topics/list")
def _(k):
    topic = k.topic("listed")
    until(lambda: topic in k.list_topics(), "the topic to be listed", 15)


@case("admin-topics/delete")
def _(k):
    topic = k.topic("deleted")
    k.delete_topic(topic)
    until(lambda: topic not in k.list_topics(), "the topic to go", 20)


@case("admin-topics/create-validate-only")
def _(k):
    k.create_topic(k.name("validated"), validate_only=True)
    assert k.name("validated") not in k.list_topics(), "the topic was made"


@case("admin-topics/create-with-config")
def _(k):
    topic = k.topic("configured", retention_ms=12345678, cleanup_policy="compact")
    found = k.describe_config("topic", topic)
    check((found["retention.ms"], found["cleanup.policy"]), ("12345678", "compact"), "configs")


@case("admin-topics/default-partitions-and-replicas")
def _(k):
    k.create_topic(k.name("defaults"), -1, -1)
    until(lambda: k.name("defaults") in k.list_topics(), "the new topic", 20)
    check(sorted(k.describe_topic(k.name("defaults"))), [0], "partitions")


@case("admin-topics/recreate")
def _(k):
    topic = filled(k, "recreated")
    k.delete_topic(topic)
    until(lambda: topic not in k.list_topics(), "the topic to go", 20)
    k.create_topic(topic)
    check(send_all(k, topic, [b"v"]), [(0, 0)], "offset")


@case("admin-topics/create-partitions")
def _(k):
    topic = k.topic("grown", 2)
    k.create_partitions(topic, 5)
    until(lambda: sorted(k.describe_topic(topic)) == [0, 1, 2, 3, 4], "the new partitions", 15)


@case("admin-topics/delete-records")
def _(k):
    topic = filled(k, "recordsdeleted")
    check(k.delete_records((topic, 0), 4), 4, "first offset")
    check(k.delete_records((topic, 0), -1), 10, "first offset")


for name, code, what in (
        ("topic-exists", 36, lambda k: [k.create_topic(k.name("exists")) for _ in range(2)]),
        ("invalid-topic-name", 17, lambda k: k.create_topic("no spaces")),
        ("long-topic-name", 17, lambda k: k.create_topic("x" * 250)),
        ("invalid-replication-factor", 38, lambda k: k.create_topic(k.name("manyreplicas"), 1, 30)),
        ("invalid-partition-count", 37, lambda k: k.create_topic(k.name("nopartitions"), 0)),
        ("invalid-config-value", 40, lambda k: k.create_topic(k.name("badvalue"), config={"retention.ms": "soon"})),
        ("unknown-config", 40, lambda k: k.create_topic(k.name("badname"), config={"no.such.config": "1"})),
        ("delete-unknown-topic", 3, lambda k: k.delete_topic(k.name("nosuch"))),
        ("fewer-partitions", 37, lambda k: k.create_partitions(k.topic("fewer", 3), 2)),
        ("create-partitions-of-unknown-topic", 3, lambda k: k.create_partitions(k.name("nosuch"), 2)),
        ("delete-records-beyond-the-end", 1, lambda k: k.delete_records((filled(k, "beyond"), 0), 50)),
        ("describe-config-of-unknown-topic", 3, lambda k: k.describe_config("topic", k.name("nosuch"))),
        ("alter-config-of-unknown-topic", 3, lambda k: k.set_config(k.name("nosuch"), {"retention.ms": "1"})),
        ("alter-config-invalid-value", 40, lambda k: k.set_config(k.topic("altered-bad"), {"retention.ms": "soon"})),
        ("delete-unknown-group", 69, lambda k: k.delete_group(k.name("nosuch")))):
    case(f"errors/{name}")(lambda k, code=code, what=what: refused(code, what, k))


@case("admin-configs/describe-topic-defaults")
def _(k):
    found = k.describe_config("topic", k.topic("plain"))
    check({n: found[n] for n in ("retention.ms", "cleanup.policy", "max.message.bytes", "compression.type", "message.timestamp.type",
                                 "min.insync.replicas")},
          {"retention.ms": "604800000", "cleanup.policy": "delete", "max.message.bytes": "1048588", "compression.type": "producer",
           "message.timestamp.type": "CreateTime", "min.insync.replicas": "1"}, "configs")


@case("admin-configs/describe-broker")
def _(k):
    found = k.describe_config("broker", str(k.cluster()[1][0]))
    assert found.get("advertised.listeners") and found.get("num.partitions") == "1", f"{len(found)} configs"


@case("admin-configs/set-and-take-away")
def _(k):
    topic = k.topic("altered")
    k.set_config(topic, {"retention.ms": "777", "max.message.bytes": "5000"})
    until(lambda: k.describe_config("topic", topic)["retention.ms"] == "777", "the new value", 15)
    k.set_config(topic, {"retention.ms": None})
    until(lambda: k.describe_config("topic", topic)["retention.ms"] == "604800000", "the default", 15)
    check(k.describe_config("topic", topic)["max.message.bytes"], "5000", "the other config")


@case("admin-configs/replace-all")
def _(k):
    topic = k.topic("replaced", retention_ms=999)
    k.replace_config(topic, {"max.message.bytes": "6000"})
    until(lambda: k.describe_config("topic", topic)["max.message.bytes"] == "6000", "the new value", 15)
    check(k.describe_config("topic", topic)["retention.ms"], "604800000", "retention.ms")


def committed_group(k, name, offset=4):
    """Makes a group without members that has committed an offset."""
    topic, group = filled(k, name), k.name(f"g-{name}")
    c = assigned(k, topic, group=group)
    c.commit({(topic, 0): offset})
    c.close()
    return topic, group


@case("admin-groups/list")
def _(k):
    _, group = committed_group(k, "glisted")
    assert group in k.list_groups(), "the group is not listed"


@case("admin-groups/describe-empty")
def _(k):
    _, group = committed_group(k, "gdescribed")
    check(k.describe_group(group)[:2], ("empty", 0))


@case("admin-groups/delete")
def _(k):
    _, group = committed_group(k, "gdeleted")
    k.delete_group(group)
    assert group not in k.list_groups(), "the group is still listed"


@case("errors/delete-group-with-members")
def _(k):
    topic = filled(k, "gfull")
    c = k.consumer(group=k.name("g-full"))
    c.subscribe([topic])
    while not c.assignment():
        c.poll(0.1)
    refused(68, k.delete_group, k.name("g-full"))
    c.close()


@case("admin-offsets/list-group-offsets")
def _(k):
    topic, group = committed_group(k, "goffsets", 7)
    check(k.group_offsets(group), {(topic, 0): 7}, "offsets")


@case("admin-offsets/offsets-of-unknown-group")
def _(k):
    check(k.group_offsets(k.name("g-nosuch")), {}, "offsets")


@case("admin-offsets/alter-group-offsets")
def _(k):
    topic, group = committed_group(k, "galter", 7)
    k.set_group_offsets(group, {(topic, 0): 2})
    check(k.group_offsets(group), {(topic, 0): 2}, "offsets")


@case("admin-offsets/delete-group-offsets")
def _(k):
    topic, group = committed_group(k, "gdeloff", 7)
    k.delete_group_offsets(group, (topic, 0))
    check(k.group_offsets(group), {}, "offsets")


@case("admin-offsets/earliest-and-latest")
def _(k):
    topic = filled(k, "specs")
    check((k.list_offsets((topic, 0), "earliest"), k.list_offsets((topic, 0), "latest")), (0, 10), "offsets")


@case("admin-offsets/max-timestamp")
def _(k):
    topic = k.topic("maxtime")
    p = k.producer()
    for t in (5, 9, 7):
        p.send(topic, b"v", partition=0, timestamp=1700000000000 + t)
        p.flush()
    p.close()
    check(k.list_offsets((topic, 0), "max-timestamp"), 1, "offset")


@case("admin-offsets/for-a-time")
def _(k):
    topic = k.topic("fortime")
    p = k.producer()
    for t in (5, 7, 9):
        p.send(topic, b"v", partition=0, timestamp=1700000000000 + t)
        p.flush()
    p.close()
    check(k.list_offsets((topic, 0), 1700000000006), 1, "offset")


for name in ("describe", "create", "delete"):
    call = {"describe": "describe_acls", "create": "create_acl", "delete": "delete_acls"}[name]
    case(f"admin-acls/{name}-without-authorizer")(lambda k, call=call: refused(54, getattr(k, call)))


@case("admin-quotas/describe-none")
def _(k):
    check(len(k.describe_quotas()), 0, "number of quotas")


@case("admin-misc/log-dirs")
def _(k):
    topic = filled(k, "dirs", 2)
    until(lambda: len(sizes := k.log_dirs(topic)) == 2 and all(sizes), "sizes of both partitions")


@case("admin-misc/describe-cluster")
def _(k):
    cluster, ids, controller = k.cluster()
    assert cluster and ids and controller in ids, (cluster, ids, controller)


@case("admin-misc/features")
def _(k):
    names = k.features()
    for n in ("metadata.version", "group.version", "transaction.version"):
        assert n in names, f"{n} is not among {sorted(names)}"


@case("admin-misc/scram-users")
def _(k):
    check(k.scram_users(), ["scram"], "users")


@case("admin-misc/elect-leaders")
def _(k):
    k.elect_leaders((k.topic("elected"), 0))


@case("admin-misc/no-reassignments")
def _(k):
    check(k.reassignments(), [], "reassignments")


@case("admin-misc/describe-producers")
def _(k):
    topic = k.topic("producers")
    send_all(k, topic, [b"v"], idempotent=True)
    check(len(k.describe_producers((topic, 0))), 1, "number of producers")


@case("admin-misc/describe-transaction")
def _(k):
    topic, txn = k.topic("txdescribed"), k.name("tx-described")
    p = k.producer(txn=txn)
    p.init()
    check(k.describe_transaction(txn).lower(), "empty", "state")
    p.begin()
    p.send(topic, b"v", partition=0)
    p.flush()
    check(k.describe_transaction(txn).lower(), "ongoing", "state")
    p.commit()
    until(lambda: k.describe_transaction(txn).lower() == "completecommit", "the transaction to be complete", 15)
    assert txn in k.list_transactions(), "the transaction is not listed"
    p.close()


@case("metadata/brokers")
def _(k):
    brokers = k.metadata()[0]
    assert list(brokers.values()) == [k.bootstrap], brokers


@case("metadata/topic")
def _(k):
    topic = k.topic("known", 3)
    check(k.metadata(topic)[1].get(topic), 3, "partitions")


@case("metadata/all-topics")
def _(k):
    topics = {k.topic(f"all{i}", i + 1): i + 1 for i in range(3)}
    until(lambda: topics.items() <= k.metadata()[1].items(), "all topics in the metadata", 15)
