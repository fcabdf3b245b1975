"""aiokafka. Usage: aio.py BOOTSTRAP PREFIX

The client lives in the loop of one thread; the cases wait for what they ask of it."""
import asyncio
import functools
import logging
import ssl
import threading

import aiokafka
from aiokafka import TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata
from aiokafka.abc import AbstractTokenProvider

import adapter
import admin_cases, data_cases, group_cases, read_cases, security_cases  # they register the cases
from adapter import Record, Refused
from runner import lacks, main

logging.basicConfig(level=logging.CRITICAL)
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def wait(what):
    """Runs a coroutine, or calls a function, in the client's loop. The client's exceptions become Refused."""
    async def called():
        found = what() if callable(what) else what
        return await found if asyncio.iscoroutine(found) or asyncio.isfuture(found) else found
    try:
        return asyncio.run_coroutine_threadsafe(called(), loop).result(60)
    except (errors.NoOffsetForPartitionError, errors.OffsetOutOfRangeError) as e:
        raise Refused(1, str(e)) from e
    except errors.ProducerFenced as e:
        raise Refused(47, str(e)) from e
    except errors.BrokerResponseError as e:
        raise Refused(e.errno, str(e)) from e


def tp(partition):
    return TopicPartition(*partition)


def offsets_of(offsets):
    return {tp(p): OffsetAndMetadata(o, "") for p, o in offsets.items()}


class Producer(adapter.Producer):
    def __init__(self, conf):
        self.sent = []

        async def start():
            p = aiokafka.AIOKafkaProducer(**conf)
            await p.start()
            return p
        self.p = wait(start)

    def send(self, topic, value, key=None, headers=None, partition=None, timestamp=None):
        self.sent.append(wait(lambda: kept(self.p.send(topic, value=value, key=key, headers=headers, partition=partition,
                                                       timestamp_ms=timestamp))))

    def flush(self):
        sent, self.sent = self.sent, []
        wait(self.p.flush)
        return [(m.partition, m.offset) if m else None for m in (wait(lambda f=f: f[0]) for f in sent)]

    def close(self): wait(self.p.stop)
    def init(self): pass  # start() did it
    def begin(self): wait(self.p.begin_transaction)
    def commit(self): wait(self.p.commit_transaction)
    def abort(self): wait(self.p.abort_transaction)
    def send_offsets(self, offsets, consumer): wait(lambda: self.p.send_offsets_to_transaction(offsets_of(offsets), consumer.group))


async def kept(sending):
    """Awaits the sending, but not the future that it gives."""
    return [await sending]


class Consumer(adapter.Consumer):
    def __init__(self, conf):
        self.group = conf.get("group_id")

        async def start():
            c = aiokafka.AIOKafkaConsumer(**conf)
            await c.start()
            return c
        self.c = wait(start)

    def subscribe(self, topics): wait(lambda: self.c.subscribe(topics))
    def subscribe_pattern(self, pattern): wait(lambda: self.c.subscribe(pattern=pattern))
    def assign(self, partitions): wait(lambda: self.c.assign([tp(p) for p in partitions]))
    def unsubscribe(self): wait(self.c.unsubscribe)
    def assignment(self): return {tuple(p) for p in wait(self.c.assignment)}

    def poll(self, seconds):
        got = wait(lambda: self.c.getmany(timeout_ms=int(seconds * 1000)))
        return [Record(r.topic, r.partition, r.offset, r.key, r.value, list(r.headers), r.timestamp, r.timestamp_type) for rs in got.values()
                for r in rs]

    def seek(self, partition, offset): wait(lambda: self.c.seek(tp(partition), offset))
    def seek_to_beginning(self, partition): wait(lambda: self.c.seek_to_beginning(tp(partition)))
    def seek_to_end(self, partition): wait(lambda: self.c.seek_to_end(tp(partition)))
    def pause(self, partition): wait(lambda: self.c.pause(tp(partition)))
    def resume(self, partition): wait(lambda: self.c.resume(tp(partition)))
    def position(self, partition): return wait(lambda: self.c.position(tp(partition)))
    def commit(self, offsets=None): wait(lambda: self.c.commit(*([] if offsets is None else [offsets_of(offsets)])))
    def commit_with_metadata(self, partition, offset, metadata): wait(lambda: self.c.commit({tp(partition): OffsetAndMetadata(offset, metadata)}))
    def committed(self, partition): return wait(lambda: self.c.committed(tp(partition)))
    def beginning(self, partition): return wait(lambda: self.c.beginning_offsets([tp(partition)]))[tp(partition)]
    def end(self, partition): return wait(lambda: self.c.end_offsets([tp(partition)]))[tp(partition)]

    def offset_for_time(self, partition, timestamp):
        found = wait(lambda: self.c.offsets_for_times({tp(partition): timestamp}))[tp(partition)]
        return found.offset if found else None

    def close(self): wait(self.c.stop)


class Client(adapter.Client):
    says_why_not = False
    codecs = ("gzip", "snappy", "lz4", "zstd")
    strategies = ("range", "roundrobin", "sticky")
    static_members = True
    lacking = {
        "errors/commit-for-unknown-topic": "the client's commit tells of no error",
        "admin-topics/default-partitions-and-replicas": "the client wants to know numbers",
        "static-membership/same-instance-fences": "the client's poll tells of no fencing",
        "static-membership/described-and-removed": "the client's description has no instances",
    }

    def __init__(self, bootstrap, prefix):
        super().__init__(bootstrap, prefix)

        async def start():
            a = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
            await a.start()
            return a
        self.a = wait(start)

    def producer(self, acks=-1, codec=None, idempotent=False, txn=None, linger_ms=0, txn_timeout_ms=60000, request_max=None, batch_bytes=None):
        conf = {"bootstrap_servers": self.bootstrap, "linger_ms": linger_ms, "compression_type": codec}
        if txn:
            conf |= {"transactional_id": txn, "transaction_timeout_ms": txn_timeout_ms}
        elif idempotent:
            conf["enable_idempotence"] = True
        else:
            conf["acks"] = acks
        if request_max:
            conf["max_request_size"] = request_max
        return Producer(conf)

    def consumer(self, group=None, reset="earliest", committed_only=False, instance=None, protocol="classic", strategy=None, auto_commit=False,
                 fetch_bytes=None, session_ms=10000):
        from aiokafka.coordinator.assignors.range import RangePartitionAssignor
        from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
        from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
        assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}
        conf = {"bootstrap_servers": self.bootstrap, "group_id": group, "auto_offset_reset": reset, "enable_auto_commit": auto_commit,
                "isolation_level": "read_committed" if committed_only else "read_uncommitted", "session_timeout_ms": session_ms,
                "heartbeat_interval_ms": 200, "metadata_max_age_ms": 1000, "partition_assignment_strategy": [assignors[strategy or "range"]]}
        if instance:
            conf["group_instance_id"] = instance
        if fetch_bytes:
            conf["max_partition_fetch_bytes"] = fetch_bytes
        return Consumer(conf)

    def create_topic(self, name, partitions=1, replicas=1, config=None, validate_only=False):
        topic = NewTopic(name, partitions, replicas, topic_configs=config or {})
        raise_topics(wait(lambda: self.a.create_topics([topic], validate_only=validate_only)).topic_errors)

    def delete_topic(self, name): raise_topics(wait(lambda: self.a.delete_topics([name])).topic_error_codes)
    def list_topics(self): return wait(self.a.list_topics)

    def describe_topic(self, name):
        return {p["partition"]: (p["leader"], p["replicas"]) for p in wait(lambda: self.a.describe_topics([name]))[0]["partitions"]}

    def create_partitions(self, name, total):
        raise_topics(wait(lambda: self.a.create_partitions({name: NewPartitions(total)})).topic_errors)

    def delete_records(self, partition, before):
        return wait(lambda: self.a.delete_records({tp(partition): RecordsToDelete(before)}))[tp(partition)]

    def describe_config(self, kind, name):
        kind = ConfigResourceType.TOPIC if kind == "topic" else ConfigResourceType.BROKER
        found = wait(lambda: self.a.describe_configs([ConfigResource(kind, name)]))[0].resources[0]
        raise_topics([(name, found[0], found[1])])
        return {c[0]: c[1] for c in found[4]}

    def replace_config(self, name, values):
        wait(lambda: self.a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, values)]))

    def list_groups(self): return [g[0] for g in wait(self.a.list_consumer_groups)]

    def describe_group(self, group):
        d = wait(lambda: self.a.describe_consumer_groups([group]))[0].groups[0]
        return d[2].lower(), len(d[5]), []

    def group_offsets(self, group):
        return {tuple(p): o.offset for p, o in wait(lambda: self.a.list_consumer_group_offsets(group)).items()}

    def cluster(self):
        d = wait(self.a.describe_cluster)
        return d["cluster_id"], [b["node_id"] for b in d["brokers"]], d["controller_id"]

    def metadata(self, topic=None):
        brokers = {b["node_id"]: f"{b['host']}:{b['port']}" for b in wait(self.a.describe_cluster)["brokers"]}
        return brokers, {t["topic"]: len(t["partitions"]) for t in wait(lambda: self.a.describe_topics([topic] if topic else None))}

    def write_and_read(self, login, topic, value):
        return wait(lambda: write_and_read(security(login), topic, value))


def raise_topics(results):
    for topic, code, *text in results:
        if code:
            raise Refused(code, str(text))

async def write_and_read(conf, topic, value):
    p = aiokafka.AIOKafkaProducer(**conf)
    try:
        await p.start()
        offset = (await p.send_and_wait(topic, value, partition=0)).offset
    finally:
        await p.stop()
    c = aiokafka.AIOKafkaConsumer(**conf)
    try:
        await c.start()
        c.assign([TopicPartition(topic, 0)])
        c.seek(TopicPartition(topic, 0), offset)
        return (await c.getone()).value
    finally:
        await c.stop()


class Token(AbstractTokenProvider):
    def __init__(self, text): self.text = text
    async def token(self): return self.text


def context(login):
    """The TLS context of a login, None without."""
    if not login.ca:
        return None
    found = ssl.create_default_context(cafile=login.ca)
    if login.cert:
        found.load_cert_chain(login.cert)
    return found


def security(login):
    """The client's settings for a login."""
    conf = {"bootstrap_servers": login.address, "ssl_context": context(login), "request_timeout_ms": 10000,
            "security_protocol": ("SASL_" if login.mechanism else "") + ("SSL" if login.ca else "PLAINTEXT")}
    if login.mechanism == "OAUTHBEARER":
        conf |= {"sasl_mechanism": login.mechanism, "sasl_oauth_token_provider": Token(login.password)}
    elif login.mechanism:
        conf |= {"sasl_mechanism": login.mechanism, "sasl_plain_username": login.user, "sasl_plain_password": login.password}
    return conf


main(Client)
