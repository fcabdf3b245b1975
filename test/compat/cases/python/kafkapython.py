"""kafka-python 3. Usage: kafkapython.py BOOTSTRAP PREFIX"""
import functools
import logging
import re
import ssl
import threading
from collections import namedtuple

import kafka
from kafka import TopicPartition
from kafka import errors
from kafka.admin import (ACL, ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, ConfigResource,
                         KafkaAdminClient, MemberToRemove, OffsetSpec, ResourcePattern, ResourcePatternFilter, ResourceType)
from kafka.structs import OffsetAndMetadata
from kafka.net.sasl.oauth import AbstractTokenProvider

import adapter
import admin_cases, data_cases, group_cases, read_cases, security_cases  # they register the cases
from adapter import Record, Refused
from runner import lacks, main

logging.basicConfig(level=logging.CRITICAL)


def refusing(call):
    """Turns the client's exceptions into Refused."""
    @functools.wraps(call)
    def wrapped(*args, **kwargs):
        try:
            return call(*args, **kwargs)
        except (errors.NoOffsetForPartitionError, errors.OffsetOutOfRangeError) as e:
            raise Refused(1, str(e)) from e
        except errors.BrokerResponseError as e:
            raise Refused(e.errno, str(e)) from e
    return wrapped


def tp(partition):
    return TopicPartition(*partition)


class Producer(adapter.Producer):
    def __init__(self, conf):
        self.p, self.sent = kafka.KafkaProducer(**conf), []

    @refusing
    def send(self, topic, value, key=None, headers=None, partition=None, timestamp=None):
        if headers and any(v is None for _, v in headers):
            lacks("null header values")
        self.sent.append(self.p.send(topic, value=value, key=key, headers=headers, partition=partition, timestamp_ms=timestamp))

    @refusing
    def flush(self):
        self.p.flush()
        sent, self.sent = self.sent, []
        return [(m.partition, m.offset) for m in (f.get(timeout=60) for f in sent)]

    def close(self): self.p.close()
    @refusing
    def init(self): self.p.init_transactions()
    @refusing
    def begin(self): self.p.begin_transaction()
    @refusing
    def commit(self): self.p.commit_transaction()
    @refusing
    def abort(self): self.p.abort_transaction()
    @refusing
    def send_offsets(self, offsets, consumer):
        self.p.send_offsets_to_transaction({tp(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}, consumer.c.group_metadata())


class Consumer(adapter.Consumer):
    def __init__(self, conf):
        self.c = kafka.KafkaConsumer(**conf)

    def subscribe(self, topics): self.c.subscribe(topics)
    def subscribe_pattern(self, pattern): self.c.subscribe(pattern=pattern)
    def assign(self, partitions): self.c.assign([tp(p) for p in partitions])
    def unsubscribe(self): self.c.unsubscribe()
    def assignment(self): return {tuple(p) for p in self.c.assignment()}

    @refusing
    def poll(self, seconds):
        got = self.c.poll(timeout_ms=int(seconds * 1000))
        return [Record(r.topic, r.partition, r.offset, r.key, r.value, list(r.headers), r.timestamp, r.timestamp_type) for rs in got.values()
                for r in rs]

    def seek(self, partition, offset): self.c.seek(tp(partition), offset)
    def seek_to_beginning(self, partition): self.c.seek_to_beginning(tp(partition))
    def seek_to_end(self, partition): self.c.seek_to_end(tp(partition))
    def pause(self, partition): self.c.pause(tp(partition))
    def resume(self, partition): self.c.resume(tp(partition))
    def position(self, partition): return self.c.position(tp(partition))

    @refusing
    def commit(self, offsets=None):
        self.c.commit(None if offsets is None else {tp(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()})

    def commit_with_metadata(self, partition, offset, metadata): self.c.commit({tp(partition): OffsetAndMetadata(offset, metadata, -1)})
    def commit_async(self): self.c.commit_async()
    @refusing
    def committed(self, partition): return self.c.committed(tp(partition))
    def committed_metadata(self, partition): return self.c.committed(tp(partition), metadata=True).metadata
    def beginning(self, partition): return self.c.beginning_offsets([tp(partition)])[tp(partition)]
    def end(self, partition): return self.c.end_offsets([tp(partition)])[tp(partition)]

    def offset_for_time(self, partition, timestamp):
        found = self.c.offsets_for_times({tp(partition): timestamp})[tp(partition)]
        return found.offset if found else None

    def close(self): self.c.close()


class Client(adapter.Client):
    codecs = ("gzip", "snappy", "lz4", "zstd")
    strategies = {"range": "RangePartitionAssignor", "roundrobin": "RoundRobinPartitionAssignor", "sticky": "StickyPartitionAssignor",
                  "cooperative-sticky": "CooperativeStickyAssignor"}
    static_members = True
    says_why_not = False
    stalls = True  # a member stops polling and sending heartbeats, against either broker, alone or beside others
    at_once = 4  # each consumer has a thread that shares one lock with all others

    lacking = {
        "errors/commit-for-unknown-topic": "the client's commit tells of no error",
        "errors/describe-config-of-unknown-topic": "the client gives an empty description",
        "static-membership/same-instance-fences": "the client's poll tells of no fencing",
    }

    def __init__(self, bootstrap, prefix):
        super().__init__(bootstrap, prefix)
        self.local = threading.local()

    @property
    def a(self):
        """The admin client of this thread: it is not made for several."""
        if not hasattr(self.local, "admin"):
            self.local.admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        return self.local.admin

    def producer(self, acks=-1, codec=None, idempotent=False, txn=None, linger_ms=0, txn_timeout_ms=60000, request_max=None, batch_bytes=None):
        conf = {"bootstrap_servers": self.bootstrap, "acks": acks, "linger_ms": linger_ms, "compression_type": codec,
                "enable_idempotence": idempotent or txn is not None}
        if txn:
            conf |= {"transactional_id": txn, "transaction_timeout_ms": txn_timeout_ms}
        if request_max:
            conf["max_request_size"] = request_max
        return Producer(conf)

    def consumer(self, group=None, reset="earliest", committed_only=False, instance=None, protocol="classic", strategy=None, auto_commit=False,
                 fetch_bytes=None, session_ms=10000):
        conf = {"bootstrap_servers": self.bootstrap, "group_id": group, "auto_offset_reset": reset, "enable_auto_commit": auto_commit,
                "isolation_level": "read_committed" if committed_only else "read_uncommitted", "session_timeout_ms": session_ms,
                "heartbeat_interval_ms": 200, "metadata_max_age_ms": 1000}
        if strategy:
            conf["partition_assignment_strategy"] = [self.assignor(strategy)]
        if instance:
            conf["group_instance_id"] = instance
        if fetch_bytes:
            conf["max_partition_fetch_bytes"] = fetch_bytes
        return Consumer(conf)

    def assignor(self, strategy):
        from kafka.coordinator.assignors import cooperative_sticky, range, roundrobin
        from kafka.coordinator.assignors.sticky import sticky_assignor
        for module in (range, roundrobin, sticky_assignor, cooperative_sticky):
            for name, found in vars(module).items():
                if name.endswith("Assignor") and getattr(found, "name", None) == strategy:
                    return found
        lacks(f"assignor {strategy}")

    @refusing
    def create_topic(self, name, partitions=1, replicas=1, config=None, validate_only=False):
        self.a.create_topics({name: {"num_partitions": partitions, "replication_factor": replicas, "configs": config or {}}},
                             validate_only=validate_only)

    @refusing
    def delete_topic(self, name): self.a.delete_topics([name])
    def list_topics(self): return self.a.list_topics()

    def describe_topic(self, name):
        return {p["partition_index"]: (p["leader_id"], p["replica_nodes"]) for p in self.a.describe_topics([name])[0]["partitions"]}

    @refusing
    def create_partitions(self, name, total): self.a.create_partitions({name: total})

    @refusing
    def delete_records(self, partition, before):
        found = self.a.delete_records({tp(partition): before})[tp(partition)]
        return found["low_watermark"] if isinstance(found, dict) else getattr(found, "low_watermark", found)

    @refusing
    def describe_config(self, kind, name):
        found = self.a.describe_configs([ConfigResource(kind, name, None)], config_filter="all")
        return {n: d["value"] for n, d in found[kind][name].items()}

    @refusing
    def set_config(self, name, values):
        said = self.a.alter_configs([ConfigResource("topic", name, {n: ("DELETE", None) if v is None else v for n, v in values.items()})],
                                    incremental=True, raise_on_unknown=False)
        raise_named(said["topic"][name])

    def list_groups(self): return [g["group_id"] for g in self.a.list_groups()]

    @refusing
    def describe_group(self, group):
        d = self.a.describe_groups([group])[group]
        return d["group_state"].lower(), len(d["members"]), [m["group_instance_id"] for m in d["members"] if m["group_instance_id"]]

    @refusing
    def delete_group(self, group):
        raise_named(self.a.delete_groups([group])[group])

    def group_offsets(self, group): return {tuple(p): o.offset for p, o in self.a.list_group_offsets({group: None})[group].items()}

    def set_group_offsets(self, group, offsets):
        for error in self.a.alter_group_offsets(group, {tp(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}).values():
            raise_code(error)

    def delete_group_offsets(self, group, partition):
        for error in self.a.delete_group_offsets(group, [tp(partition)]).values():
            raise_code(error)

    def remove_member(self, group, instance): self.a.remove_group_members(group, [MemberToRemove(group_instance_id=instance)])

    def list_offsets(self, partition, spec):
        spec = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST, "max-timestamp": OffsetSpec.MAX_TIMESTAMP}.get(spec, spec)
        return self.a.list_partition_offsets({tp(partition): spec})[tp(partition)].offset

    @refusing
    def describe_acls(self):
        self.a.describe_acls(self.acl_filter())

    @refusing
    def create_acl(self):
        found = self.a.create_acls([ACL("User:u", "*", ACLOperation.READ, ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, self.name("acl")))])
        for error in found["failed"]:
            raise_code(error)

    @refusing
    def delete_acls(self):
        for _, _, error in self.a.delete_acls([self.acl_filter()]):
            raise_code(error)

    def acl_filter(self):
        return ACLFilter("User:u", "*", ACLOperation.ANY, ACLPermissionType.ANY, ResourcePatternFilter(ResourceType.TOPIC, self.name("acl"),
                                                                                                               ACLResourcePatternType.LITERAL))

    def log_dirs(self, topic):
        return [p["partition_size"] for b in self.a.describe_log_dirs([topic]) for d in b["log_dirs"] for t in d["topics"] if t["name"] == topic
                for p in t["partitions"]]

    def cluster(self):
        d = self.a.describe_cluster()
        return d["cluster_id"], [b.get("broker_id", b.get("node_id")) for b in d["brokers"]], d["controller_id"]

    def features(self): return [n for n, f in self.a.describe_features().items() if "finalized" in f]
    def scram_users(self): return list(self.a.describe_user_scram_credentials())
    def elect_leaders(self, partition): self.a.elect_leaders(0, {partition[0]: [partition[1]]}, raise_errors=False)
    def reassignments(self): return list(self.a.list_partition_reassignments())
    def describe_producers(self, partition): return list(self.a.describe_producers([tp(partition)])[tp(partition)].active_producers)
    def describe_transaction(self, txn): return str(getattr(self.a.describe_transactions([txn])[txn].state, "name", "")).replace("_", "")
    def list_transactions(self): return [t.transactional_id for some in self.a.list_transactions().values() for t in some]

    def metadata(self, topic=None):
        brokers = {b.get("broker_id", b.get("node_id")): f"{b['host']}:{b['port']}" for b in self.a.describe_cluster()["brokers"]}
        return brokers, {t["name"]: len(t["partitions"]) for t in self.a.describe_topics([topic] if topic else None)}

    def write_and_read(self, login, topic, value):
        conf = security(login)
        p = kafka.KafkaProducer(**conf, max_block_ms=10000 if b"must not" in value else 60000)
        try:
            offset = p.send(topic, value, partition=0).get(timeout=15).offset
        finally:
            p.close(timeout=1)
        c = kafka.KafkaConsumer(**conf)
        try:
            c.assign([TopicPartition(topic, 0)])
            c.seek(TopicPartition(topic, 0), offset)
            return next(c).value
        finally:
            c.close()


class Token(AbstractTokenProvider):
    def __init__(self, text): self.text = text
    def token(self): return self.text


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


def raise_named(text):
    """Raises what an admin call says as a text: an error's number or name, or that there is none."""
    number = re.search(r"\[Error (\d+)\]", str(text))
    raise_code(getattr(errors, str(text), None) if number is None else namedtuple("E", "errno")(int(number[1])))


def raise_code(error):
    code = getattr(error, "errno", 0)
    if code:
        raise Refused(code, str(error))


main(Client)
