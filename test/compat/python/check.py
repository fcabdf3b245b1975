"""Checks of a Kafka broker with confluent-kafka (librdkafka). Usage: check.py HOST:PORT

Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed."""
import sys
import time
import traceback
import uuid

from confluent_kafka import (OFFSET_BEGINNING, OFFSET_END, Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException,
                             Producer, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)

BOOTSTRAP = sys.argv[1]
RUN = uuid.uuid4().hex[:8]
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def topic(name, partitions=1, config=None):
    name = f"py-{name}-{RUN}"
    for f in admin.create_topics([NewTopic(name, partitions, config=config or {})]).values():
        f.result(30)
    return name


def produce(name, records, **config):
    """Produces (key, value, headers, partition) tuples and returns the delivered offsets in delivery order."""
    done, errors = [], []

    def delivered(err, msg):
        errors.append(err) if err else done.append((msg.partition(), msg.offset()))

    p = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5, **config})
    for key, value, headers, partition in records:
        while True:
            try:
                p.produce(name, value=value, key=key, headers=headers, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                p.poll(0.1)
        p.poll(0)
    left = p.flush(60)
    assert left == 0, f"{left} records were not delivered"
    assert not errors, errors[0]
    return done


def consume(name, count, group=None, partitions=None, commit=False, timeout=60, **config):
    """Reads count messages from the start (or the group's offsets)."""
    c = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group or f"g-{uuid.uuid4().hex}", "auto.offset.reset": "earliest",
                  "enable.auto.commit": False, "check.crcs": True, **config})
    try:
        if partitions is None:
            c.subscribe([name])
        else:
            c.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in partitions])
        got, deadline = [], time.time() + timeout
        while len(got) < count:
            assert time.time() < deadline, f"only {len(got)} of {count} messages came"
            for m in c.consume(1000, 0.5):
                if m.error():
                    raise KafkaException(m.error())
                got.append(m)
        if commit:
            c.commit(asynchronous=False)
        return got
    finally:
        c.close()


def check_codecs():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        name = topic(f"codec-{codec}")
        sent = [(f"k{i}".encode(), (f"value {i} " * 20).encode(), [("h", str(i).encode()), ("null", None)], 0) for i in range(2000)]
        produce(name, sent, **{"compression.type": codec})
        got = consume(name, len(sent), partitions=[0])
        assert [m.value() for m in got] == [v for _, v, _, _ in sent], f"{codec}: values differ"
        assert [m.key() for m in got] == [k for k, _, _, _ in sent], f"{codec}: keys differ"
        assert all(m.headers() == h for m, (_, _, h, _) in zip(got, sent)), f"{codec}: headers differ"
        assert [m.offset() for m in got] == list(range(len(sent))), f"{codec}: offsets are not dense"


def check_idempotent_order():
    name = topic("idempotent", 3)
    sent = [(None, str(i).encode(), None, i % 3) for i in range(30000)]
    produce(name, sent, **{"enable.idempotence": True, "max.in.flight.requests.per.connection": 5, "batch.num.messages": 100})
    got = consume(name, len(sent))
    for p in range(3):
        values = [int(m.value()) for m in got if m.partition() == p]
        assert values == [i for i in range(30000) if i % 3 == p], f"partition {p} is out of order"


def check_group_resumes():
    name, group = topic("resume"), f"resume-{RUN}"
    produce(name, [(None, str(i).encode(), None, 0) for i in range(100)])
    first = consume(name, 100, group=group, commit=True)
    produce(name, [(None, str(i).encode(), None, 0) for i in range(100, 150)])
    second = consume(name, 50, group=group)
    assert [int(m.value()) for m in first + second] == list(range(150))
    offsets = list(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values())[0].result(30)
    assert offsets.topic_partitions[0].offset == 100, offsets.topic_partitions


def check_rebalance():
    """Two members share the partitions, and one takes over all when the other leaves: eager and cooperative."""
    for strategy in ("range", "roundrobin", "cooperative-sticky"):
        name, group = topic(f"rebalance-{strategy}", 4), f"rebalance-{strategy}-{RUN}"
        conf = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "partition.assignment.strategy": strategy,
                "session.timeout.ms": 6000, "heartbeat.interval.ms": 200, "auto.offset.reset": "earliest"}
        a, b = Consumer(conf), Consumer(conf)
        a.subscribe([name])
        b.subscribe([name])

        def until(condition, *members):
            deadline = time.time() + 45
            while not condition():
                assert time.time() < deadline, f"{strategy}: {[len(m.assignment()) for m in members]}"
                for m in members:
                    m.poll(0.05)

        until(lambda: len(a.assignment()) == 2 and len(b.assignment()) == 2, a, b)
        b.close()
        until(lambda: len(a.assignment()) == 4, a)
        a.close()


def check_consumer_protocol():
    """KIP-848: members share what they are assigned, by names and by an expression, and with members of the classic protocol, whose group
    it was before; what is committed is read by whoever comes next."""
    name, group = topic("848", 4), f"848-{RUN}"
    produce(name, [(None, b"%d" % i, None, i % 4) for i in range(40)])
    classic = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": 10000,
               "heartbeat.interval.ms": 200, "partition.assignment.strategy": "cooperative-sticky"}
    conf = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "group.protocol": "consumer"}
    seen = []

    def until(what, condition, *members):
        deadline = time.time() + 60
        while not condition():
            assert time.time() < deadline, f"{what}: {[len(m.assignment()) for m in members]}"
            for m in members:
                r = m.poll(0.05)
                if r is not None and not r.error():
                    seen.append(r.value())

    old = Consumer(classic)
    old.subscribe([name])
    until("classic", lambda: len(old.assignment()) == 4 and len(seen) == 40, old)
    a, b = Consumer(conf), Consumer({**conf, "group.remote.assignor": "uniform"})
    a.subscribe([name])
    until("upgraded", lambda: len(old.assignment()) == 2 and len(a.assignment()) == 2, old, a)
    b.subscribe([f"^py-848-{RUN}.*"])
    until("three", lambda: sorted(len(m.assignment()) for m in (old, a, b)) == [1, 1, 2], old, a, b)
    old.close()
    until("two", lambda: len(a.assignment()) == 2 and len(b.assignment()) == 2, a, b)
    group_type = admin.list_consumer_groups().result().valid
    assert [g.type.name for g in group_type if g.group_id == group] == ["CONSUMER"], "not listed as a consumer group"
    a.close()
    b.close()
    produce(name, [(None, b"last", None, 0)])
    assert [m.value() for m in consume(name, 1, group=group, **{"group.protocol": "consumer"})] == [b"last"]


def check_static_member():
    name, group = topic("static", 2), f"static-{RUN}"
    conf = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "group.instance.id": "one", "session.timeout.ms": 30000,
            "auto.offset.reset": "earliest"}
    generations = []
    for _ in range(2):
        c = Consumer(conf)
        c.subscribe([name])
        deadline = time.time() + 30
        while len(c.assignment()) != 2:
            assert time.time() < deadline, "no assignment"
            c.poll(0.1)
        generations.append(c.consumer_group_metadata() is not None and c.memberid())
        c.close()  # a static member's close does not leave the group
    described = list(admin.describe_consumer_groups([group]).values())[0].result(30)
    assert [m.group_instance_id for m in described.members] == ["one"], described.members


def check_offsets_by_time():
    name = topic("times")
    base = int(time.time() * 1000) - 100000
    p = Producer({"bootstrap.servers": BOOTSTRAP, "batch.num.messages": 7})
    for i in range(100):
        p.produce(name, str(i).encode(), partition=0, timestamp=base + i * 1000)
    assert p.flush(30) == 0
    c = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"t-{RUN}"})
    for ts, want in ((base, 0), (base + 41500, 42), (base + 99000, 99), (base + 99001, -1), (0, 0)):
        got = c.offsets_for_times([TopicPartition(name, 0, ts)], timeout=30)[0].offset
        assert got == (want if want >= 0 else OFFSET_END) or (want < 0 and got == 100), f"time +{ts - base}: {got}, want {want}"
    assert c.get_watermark_offsets(TopicPartition(name, 0), timeout=30) == (0, 100)
    c.close()
    newest = list(admin.list_offsets({TopicPartition(name, 0): OffsetSpec.max_timestamp()}).values())[0].result(30)
    assert newest.offset == 99, newest.offset


def check_log_append_time():
    name = topic("append-time", config={"message.timestamp.type": "LogAppendTime"})
    before = int(time.time() * 1000) - 1000
    p = Producer({"bootstrap.servers": BOOTSTRAP})
    for i in range(10):
        p.produce(name, b"x", partition=0, timestamp=1000)
    assert p.flush(30) == 0
    for m in consume(name, 10, partitions=[0]):
        kind, ts = m.timestamp()
        assert kind == 2 and before <= ts <= time.time() * 1000 + 1000, (kind, ts)


def check_admin():
    name = topic("admin", 2, {"retention.ms": "123456"})
    res = ConfigResource(ResourceType.TOPIC, name)
    get = lambda: list(admin.describe_configs([res]).values())[0].result(30)
    assert get()["retention.ms"].value == "123456"
    change = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[
        ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
    for f in admin.incremental_alter_configs([change]).values():
        f.result(30)
    now = get()
    assert now["max.message.bytes"].value == "2000" and now["retention.ms"].value == "604800000", (now["max.message.bytes"], now["retention.ms"])
    for f in admin.create_partitions([NewPartitions(name, 5)]).values():
        f.result(30)
    deadline = time.time() + 20
    while len(admin.list_topics(name, timeout=10).topics[name].partitions) != 5:
        assert time.time() < deadline
    try:
        produce(name, [(None, b"x" * 5000, None, 0)])
        raise AssertionError("a record over max.message.bytes was accepted")
    except AssertionError as e:
        assert e.args and isinstance(e.args[0], KafkaError) and e.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE, e
    cluster = admin.describe_cluster().result(30)
    assert len(cluster.nodes) >= 1 and cluster.controller is not None
    try:
        topic("bad", 1, {"no.such.config": "1"})
        raise SystemError("an unknown topic config was accepted")
    except KafkaException as e:
        assert e.args[0].code() == KafkaError.INVALID_CONFIG, e


def check_delete_records_and_topic():
    name = topic("delete")
    produce(name, [(None, str(i).encode(), None, 0) for i in range(100)])
    low = list(admin.delete_records([TopicPartition(name, 0, 40)]).values())[0].result(30)
    assert low.low_watermark == 40, low.low_watermark
    assert int(consume(name, 60, partitions=[0])[0].value()) == 40
    for f in admin.delete_topics([name]).values():
        f.result(30)
    deadline = time.time() + 20
    while name in admin.list_topics(timeout=10).topics:
        assert time.time() < deadline, "the topic is still listed"
        time.sleep(0.1)
    produce(name := topic("delete"), [(None, b"new", None, 0)])
    assert [m.value() for m in consume(name, 1, partitions=[0])] == [b"new"]


def check_transactions():
    name, out = topic("txn-in", 2), topic("txn-out", 3)
    produce(name, [(None, str(i).encode(), None, i % 2) for i in range(200)])
    group = f"txn-{RUN}"
    c = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                  "isolation.level": "read_committed"})
    c.subscribe([name])
    p = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"txn-{RUN}"})
    p.init_transactions(30)
    copied, turn, deadline = 0, 0, time.time() + 60
    try:
        while copied < 200:
            assert time.time() < deadline, f"only {copied} of 200 were copied"
            messages = [m for m in c.consume(30, 0.5) if not m.error()]
            if not messages:
                continue
            p.begin_transaction()
            for m in messages:
                p.produce(out, value=m.value())
            p.flush(30)
            turn += 1
            if turn % 3 == 2:
                p.abort_transaction(30)
                for tp in {m.partition(): m.offset() for m in reversed(messages)}.items():
                    c.seek(TopicPartition(name, *tp))
                continue
            p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), 30)
            p.commit_transaction(30)
            copied += len(messages)
        committed = {tp.partition: tp.offset for tp in c.committed([TopicPartition(name, 0), TopicPartition(name, 1)], 30)}
        assert committed == {0: 100, 1: 100}, committed
    finally:
        c.close()
    got = consume(out, 200, partitions=[0, 1, 2], **{"isolation.level": "read_committed"})
    assert sorted(int(m.value()) for m in got) == list(range(200))
    everything = consume(out, 201, partitions=[0, 1, 2], **{"isolation.level": "read_uncommitted"})
    assert len(everything) > 200, "nothing was aborted"
    p2 = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"txn-{RUN}"})
    p2.init_transactions(30)
    p.begin_transaction()
    p.produce(out, value=b"late")
    try:
        p.commit_transaction(30)
        raise SystemError("a producer that was replaced has committed")
    except KafkaException as e:
        assert e.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED), e


def check_auto_create_and_illegal_names():
    name = f"py-auto-{RUN}"
    produce(name, [(None, b"1", None, 0)])
    assert consume(name, 1, partitions=[0])[0].value() == b"1"
    try:
        produce("bad name/" + RUN, [(None, b"1", None, 0)])
        raise SystemError("an illegal topic name was accepted")
    except (AssertionError, KafkaException) as e:
        assert e.args[0].code() in (KafkaError.TOPIC_EXCEPTION, KafkaError._UNKNOWN_TOPIC), e


def main():
    failed = 0
    for name, fn in [(n[6:], f) for n, f in list(globals().items()) if n.startswith("check_")]:
        try:
            fn()
            print(f"ok {name}", flush=True)
        except BaseException as e:  # a check may fail in any way
            failed += 1
            print(f"not ok {name}: {type(e).__name__}: {e}", flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)


main()
