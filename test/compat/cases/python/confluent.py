"""confluent-kafka (librdkafka). Usage: confluent.py BOOTSTRAP PREFIX"""
import time

import confluent_kafka as ck
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka import admin as ca

import adapter
import admin_cases, data_cases, group_cases, read_cases, security_cases  # they register the cases
from adapter import Record, Refused
from runner import lacks, main

WAIT = 30  # seconds for an admin call
TIME_OUT = -185
NEWER = hasattr(ca, "OffsetSpec")  # 2.2 and newer


def refusing(call):
    """Turns the client's exception into Refused."""
    def wrapped(*args, **kwargs):
        try:
            return call(*args, **kwargs)
        except KafkaException as e:
            raise Refused(e.args[0].code(), e.args[0].str()) from e
    return wrapped


def tp(partition, offset=-1001):
    return TopicPartition(partition[0], partition[1], offset)


class Producer(adapter.Producer):
    def __init__(self, conf):
        self.p, self.sent = ck.Producer(conf), []

    @refusing
    def send(self, topic, value, key=None, headers=None, partition=None, timestamp=None):
        result = []
        self.sent.append(result)
        more = {} if timestamp is None else {"timestamp": timestamp}
        self.p.produce(topic, value=value, key=key, headers=headers, partition=-1 if partition is None else partition,
                       on_delivery=lambda e, m: result.append(e or (m.partition(), m.offset())), **more)
        self.p.poll(0)

    def flush(self):
        assert self.p.flush(60) == 0, "records were not delivered"
        sent, self.sent = self.sent, []
        for r in sent:
            if isinstance(r[0], ck.KafkaError):
                raise Refused(r[0].code(), r[0].str())
        return [r[0] for r in sent]

    @refusing
    def init(self): self.p.init_transactions(30)
    @refusing
    def begin(self): self.p.begin_transaction()
    @refusing
    def commit(self): self.p.commit_transaction(30)
    @refusing
    def abort(self): self.p.abort_transaction(30)
    @refusing
    def send_offsets(self, offsets, consumer):
        self.p.send_offsets_to_transaction([tp(p, o) for p, o in offsets.items()], consumer.c.consumer_group_metadata())


class Consumer(adapter.Consumer):
    def __init__(self, conf):
        self.c, self.early = ck.Consumer(conf), []

    def subscribe(self, topics): self.c.subscribe(topics)
    def subscribe_pattern(self, pattern): self.c.subscribe([pattern])
    def assign(self, partitions): self.c.assign([tp(p) for p in partitions])
    def unsubscribe(self): self.c.unsubscribe()
    def assignment(self): return {(p.topic, p.partition) for p in self.c.assignment()}

    @refusing
    def poll(self, seconds):
        got, self.early = self.early, []
        while len(got) < 500:
            m = self.c.poll(0 if got else seconds)  # consume() would tell of no fatal error
            if m is None:
                break
            if m.error() and m.error().code() != ck.KafkaError._PARTITION_EOF:
                if m.error().code() in (1, ck.KafkaError._AUTO_OFFSET_RESET, ck.KafkaError._FATAL):
                    raise KafkaException(m.error())
                break
            kind, stamp = m.timestamp()
            got.append(Record(m.topic(), m.partition(), m.offset(), m.key(), m.value(), m.headers() or [], stamp, kind - 1))
        return got

    @refusing
    def seek(self, partition, offset):
        # An assignment takes effect a moment after assign() returns, and there is no seeking before.
        self.c.assign([tp(p, offset if p == partition else ck.OFFSET_STORED) for p in self.assignment()]) if len(self.assignment()) == 1 \
            else self.moved(partition, offset)

    def moved(self, partition, offset):
        for _ in range(100):
            try:
                return self.c.seek(tp(partition, offset))
            except KafkaException as e:
                if e.args[0].code() != ck.KafkaError._STATE:
                    raise
                self.early += self.poll(0.05)
        raise AssertionError("the partition never became active")

    def seek_to_beginning(self, partition): self.seek(partition, ck.OFFSET_BEGINNING)
    def seek_to_end(self, partition): self.seek(partition, ck.OFFSET_END)
    @refusing
    def pause(self, partition): self.c.pause([tp(partition)])
    @refusing
    def resume(self, partition): self.c.resume([tp(partition)])
    def position(self, partition): return self.c.position([tp(partition)])[0].offset

    @refusing
    def commit(self, offsets=None):
        more = {} if offsets is None else {"offsets": [tp(p, o) for p, o in offsets.items()]}
        for done in self.c.commit(asynchronous=False, **more):
            if done.error:
                raise KafkaException(done.error)

    def commit_with_metadata(self, partition, offset, metadata):
        if not NEWER:
            lacks("metadata of offsets")
        self.c.commit(offsets=[TopicPartition(*partition, offset, metadata)], asynchronous=False)

    def commit_async(self): self.c.commit(asynchronous=True)

    @refusing
    def committed(self, partition):
        found = self.c.committed([tp(partition)], timeout=WAIT)[0]
        if found.error:
            raise KafkaException(found.error)
        return None if found.offset < 0 else found.offset

    def committed_metadata(self, partition): return self.c.committed([tp(partition)], timeout=WAIT)[0].metadata
    def beginning(self, partition): return self.c.get_watermark_offsets(tp(partition), timeout=WAIT)[0]
    def end(self, partition): return self.c.get_watermark_offsets(tp(partition), timeout=WAIT)[1]

    def offset_for_time(self, partition, timestamp):
        found = self.c.offsets_for_times([tp(partition, timestamp)], timeout=WAIT)[0].offset
        return None if found < 0 else found

    def close(self): self.c.close()


class Client(adapter.Client):
    codecs = ("gzip", "snappy", "lz4", "zstd")
    strategies = ("range", "roundrobin", "cooperative-sticky")
    static_members = True
    lacking = {"admin-acls/describe-without-authorizer": "the client gives an empty list and no error"}
    consumer_protocol = ck.libversion()[1] >= 0x020C0000

    def __init__(self, bootstrap, prefix):
        super().__init__(bootstrap, prefix)
        self.a = ca.AdminClient({"bootstrap.servers": bootstrap})

    def producer(self, acks=-1, codec=None, idempotent=False, txn=None, linger_ms=0, txn_timeout_ms=60000, request_max=None, batch_bytes=None):
        conf = {"bootstrap.servers": self.bootstrap, "acks": acks, "linger.ms": linger_ms, "partitioner": "murmur2_random",
                "compression.type": codec or "none"}
        if idempotent:
            conf["enable.idempotence"] = True
        if txn:
            conf |= {"transactional.id": txn, "transaction.timeout.ms": txn_timeout_ms}
        if request_max:
            conf["message.max.bytes"] = request_max
        return Producer(conf)

    def consumer(self, group=None, reset="earliest", committed_only=False, instance=None, protocol="classic", strategy=None, auto_commit=False,
                 fetch_bytes=None, session_ms=10000):
        conf = {"bootstrap.servers": self.bootstrap, "group.id": group or self.name("ungrouped"), "check.crcs": True,
                "auto.offset.reset": "error" if reset == "none" else reset, "enable.auto.commit": auto_commit,
                "isolation.level": "read_committed" if committed_only else "read_uncommitted", "topic.metadata.refresh.interval.ms": 1000}
        if protocol == "consumer":
            conf |= {"group.protocol": "consumer"} | ({"group.remote.assignor": strategy} if strategy else {})
        else:
            conf |= {"session.timeout.ms": session_ms, "heartbeat.interval.ms": 200, "partition.assignment.strategy": strategy or "range"}
            if strategy == "sticky":
                lacks("assignor sticky")
        if instance:
            conf["group.instance.id"] = instance
        if fetch_bytes:
            conf["max.partition.fetch.bytes"] = fetch_bytes
        return Consumer(conf)

    @refusing
    def one(self, futures):
        """Waits for the one future of an admin call."""
        future = list(futures.values())[0] if isinstance(futures, dict) else futures
        return future.result(WAIT)

    def create_topic(self, name, partitions=1, replicas=1, config=None, validate_only=False):
        topic = ca.NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=config or {})
        self.one(self.a.create_topics([topic], validate_only=validate_only))

    def delete_topic(self, name): self.one(self.a.delete_topics([name]))
    def list_topics(self): return list(self.a.list_topics(timeout=WAIT).topics)

    def describe_topic(self, name):
        return {n: (p.leader, p.replicas) for n, p in self.a.list_topics(name, timeout=WAIT).topics[name].partitions.items()}

    def create_partitions(self, name, total): self.one(self.a.create_partitions([ca.NewPartitions(name, total)]))

    def delete_records(self, partition, before):
        if not hasattr(self.a, "delete_records"):
            lacks("deletion of records")
        return self.one(self.a.delete_records([tp(partition, before)])).low_watermark

    def describe_config(self, kind, name):
        return {n: e.value for n, e in self.one(self.a.describe_configs([ca.ConfigResource(kind, name)])).items()}

    def set_config(self, name, values):
        if not NEWER:
            lacks("incremental alteration of configs")
        op = ca.AlterConfigOpType
        entries = [ca.ConfigEntry(n, v, incremental_operation=op.DELETE if v is None else op.SET) for n, v in values.items()]
        self.one(self.a.incremental_alter_configs([ca.ConfigResource("topic", name, incremental_configs=entries)]))

    def replace_config(self, name, values): self.one(self.a.alter_configs([ca.ConfigResource("topic", name, set_config=values)]))
    def list_groups(self): return [g.id for g in self.a.list_groups(timeout=WAIT)]

    def describe_group(self, group):
        if not hasattr(self.a, "describe_consumer_groups"):
            lacks("description of groups")
        d = self.one(self.a.describe_consumer_groups([group]))
        return d.state.name.lower(), len(d.members), [m.group_instance_id for m in d.members if m.group_instance_id]

    def delete_group(self, group): self.one(self.a.delete_consumer_groups([group]))

    def group_offsets(self, group):
        found = self.one(self.a.list_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(group)]))
        return {(p.topic, p.partition): p.offset for p in found.topic_partitions}

    def set_group_offsets(self, group, offsets):
        self.one(self.a.alter_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(group, [tp(p, o) for p, o in offsets.items()])]))

    def list_offsets(self, partition, spec):
        if not NEWER:
            lacks("list of offsets")
        spec = {"earliest": ca.OffsetSpec.earliest(), "latest": ca.OffsetSpec.latest(), "max-timestamp": ca.OffsetSpec.max_timestamp()}.get(spec) \
            or ca.OffsetSpec.for_timestamp(spec)
        return self.one(self.a.list_offsets({tp(partition): spec})).offset

    def create_acl(self): self.one(self.a.create_acls([self.acl(ca.AclBinding)]))
    def delete_acls(self): self.one(self.a.delete_acls([self.acl(ca.AclBindingFilter)]))

    def acl(self, kind):
        return kind(ca.ResourceType.TOPIC, self.name("acl"), ca.ResourcePatternType.LITERAL, "User:u", "*", ca.AclOperation.READ,
                    ca.AclPermissionType.ALLOW)

    def cluster(self):
        if hasattr(self.a, "describe_cluster"):
            d = self.one(self.a.describe_cluster())
            return d.cluster_id, [n.id for n in d.nodes], d.controller.id
        d = self.a.list_topics(timeout=WAIT)
        return d.cluster_id, list(d.brokers), d.controller_id

    def scram_users(self):
        if not hasattr(self.a, "describe_user_scram_credentials"):
            lacks("SCRAM credentials")
        return list(self.one(self.a.describe_user_scram_credentials()))

    def elect_leaders(self, partition):
        if not hasattr(self.a, "elect_leaders"):
            lacks("elections")
        for error in self.one(self.a.elect_leaders(ck.ElectionType.PREFERRED, [tp(partition)])).values():
            if error and error.code() != 84:  # ELECTION_NOT_NEEDED
                raise Refused(error.code(), error.str())

    def metadata(self, topic=None):
        d = self.a.list_topics(*([topic] if topic else []), timeout=WAIT)
        return {n: f"{b.host}:{b.port}" for n, b in d.brokers.items()}, {n: len(t.partitions) for n, t in d.topics.items()}

    def write_and_read(self, login, topic, value):
        conf, said = {"bootstrap.servers": login.address, "socket.timeout.ms": 8000}, []
        conf["security.protocol"] = ("SASL_" if login.mechanism else "") + ("SSL" if login.ca else "PLAINTEXT")
        if login.ca:
            conf["ssl.ca.location"] = login.ca
        if login.cert:
            conf |= {"ssl.certificate.location": login.cert, "ssl.key.location": login.cert}
        if login.mechanism == "OAUTHBEARER":
            conf |= {"sasl.mechanism": login.mechanism, "oauth_cb": lambda _: (login.password, time.time() + 600, "dave", {})}
        elif login.mechanism:
            conf |= {"sasl.mechanism": login.mechanism, "sasl.username": login.user, "sasl.password": login.password}
        results = []
        p = ck.Producer({**conf, "message.timeout.ms": 10000 if "must not" in value.decode() else 30000, "error_cb": lambda e: said.append(e.str())})
        p.produce(topic, value=value, partition=0, on_delivery=lambda e, m: results.append(e or m.offset()))
        p.flush(40)
        if not results or isinstance(results[0], ck.KafkaError):
            raise RuntimeError(f"{results} {said}")
        c = ck.Consumer({**conf, "group.id": self.name("login")})
        try:
            c.assign([TopicPartition(topic, 0, results[0])])
            m = c.poll(30)
            return m.value()
        finally:
            c.close()


main(Client)
