"""What a Python client has to offer to the cases; a client's adapter overrides what the client has.

Partitions are pairs (topic, number), offsets numbers, keys and values bytes. A refusal by the broker is raised as Refused with Kafka's error code."""
import threading
from collections import namedtuple

from runner import lacks, until

Record = namedtuple("Record", "topic partition offset key value headers timestamp timestamp_type")


class Refused(Exception):
    """The broker answered with an error."""

    def __init__(self, code, text=""):
        super().__init__(f"error {code} {text}")
        self.code = code


class Producer:
    def send(self, topic, value, key=None, headers=None, partition=None, timestamp=None): lacks("producer")
    def flush(self): """Waits for what was sent and returns (partition, offset) of each record in the order of sending."""
    def close(self): pass
    def init(self): lacks("transactions")
    def begin(self): lacks("transactions")
    def commit(self): lacks("transactions")
    def abort(self): lacks("transactions")
    def send_offsets(self, offsets, consumer): lacks("transactions")


class Consumer:
    def subscribe(self, topics): lacks("subscribe")
    def subscribe_pattern(self, pattern): lacks("subscription by a pattern")
    def assign(self, partitions): lacks("assign")
    def unsubscribe(self): lacks("unsubscribe")
    def assignment(self): lacks("assignment")
    def poll(self, seconds): lacks("poll")
    def seek(self, partition, offset): lacks("seek")
    def seek_to_beginning(self, partition): lacks("seek to the beginning")
    def seek_to_end(self, partition): lacks("seek to the end")
    def pause(self, partition): lacks("pause")
    def resume(self, partition): lacks("resume")
    def position(self, partition): lacks("position")
    def commit(self, offsets=None): lacks("commit")
    def commit_with_metadata(self, partition, offset, metadata): lacks("commit with metadata")
    def commit_async(self): lacks("asynchronous commit")
    def committed(self, partition): lacks("committed offsets")
    def committed_metadata(self, partition): lacks("metadata of committed offsets")
    def beginning(self, partition): lacks("first offset")
    def end(self, partition): lacks("end offset")
    def offset_for_time(self, partition, timestamp): lacks("offsets for times")
    def topics(self): lacks("list of topics")
    def close(self): pass


class Client:
    """The client itself and its admin calls."""

    lacking = {}  # cases that the client cannot pass on any broker, with the reason
    at_once = 8  # cases
    says_why_not = True  # that a login was wrong, and not only that there is no connection
    stalls = False  # now and then, on any broker: a case that waits in vain is begun once more, with other names
    consumer_protocol = False  # KIP-848
    static_members = False
    codecs = ()
    strategies = ()

    def __init__(self, bootstrap, prefix):
        self.bootstrap, self.prefix = bootstrap, prefix
        self.attempt = threading.local()

    def begin_again(self): self.attempt.suffix = "-again"

    def name(self, what):
        return f"{self.prefix}{getattr(self.attempt, 'suffix', '')}-{what}"

    def topic(self, what, partitions=1, **config):
        """Makes a topic and returns its name."""
        name = self.name(what)
        self.create_topic(name, partitions, config={k.replace("_", "."): str(v) for k, v in config.items()})
        until(lambda: name in self.list_topics(), "the broker to know of the new topic", 20)
        return name

    def producer(self, acks=-1, codec=None, idempotent=False, txn=None, linger_ms=0, txn_timeout_ms=60000, request_max=None, batch_bytes=None): lacks("producer")

    def consumer(self, group=None, reset="earliest", committed_only=False, instance=None, protocol="classic", strategy=None, auto_commit=False,
                 fetch_bytes=None, session_ms=10000): lacks("consumer")

    def write_and_read(self, login, topic, value):
        """Connects as a Login of security_cases says, writes a value to partition 0, and returns the last value that is there."""
        lacks("TLS or logins")

    def create_topic(self, name, partitions=1, replicas=1, config=None, validate_only=False): lacks("topic creation")
    def delete_topic(self, name): lacks("topic deletion")
    def list_topics(self): lacks("list of topics")
    def describe_topic(self, name): """Returns {partition: (leader, replicas)}."""; lacks("description of topics")
    def create_partitions(self, name, total): lacks("partition creation")
    def delete_records(self, partition, before): lacks("deletion of records")
    def describe_config(self, kind, name): """Returns {name: value} of a topic or broker."""; lacks("description of configs")
    def set_config(self, name, values): """Sets configs of a topic one by one; None takes one away."""; lacks("incremental alteration of configs")
    def replace_config(self, name, values): """Replaces all configs of a topic."""; lacks("alteration of configs")
    def list_groups(self): lacks("list of groups")
    def describe_group(self, group): """Returns (state, number of members, instance ids)."""; lacks("description of groups")
    def delete_group(self, group): lacks("deletion of groups")
    def group_offsets(self, group): """Returns {partition: offset}."""; lacks("offsets of groups")
    def set_group_offsets(self, group, offsets): lacks("alteration of a group's offsets")
    def delete_group_offsets(self, group, partition): lacks("deletion of a group's offsets")
    def remove_member(self, group, instance): lacks("removal of members")
    def list_offsets(self, partition, spec): """Returns the offset for earliest, latest, max-timestamp or a time."""; lacks("list of offsets")
    def describe_acls(self): lacks("ACLs")
    def create_acl(self): lacks("ACLs")
    def delete_acls(self): lacks("ACLs")
    def describe_quotas(self): lacks("quotas")
    def log_dirs(self, topic): """Returns the sizes of the topic's partitions."""; lacks("log directories")
    def cluster(self): """Returns (cluster id, brokers' ids, controller's id)."""; lacks("description of the cluster")
    def features(self): """Returns the finalized features' names."""; lacks("features")
    def scram_users(self): lacks("SCRAM credentials")
    def elect_leaders(self, partition): lacks("elections")
    def reassignments(self): lacks("reassignments")
    def describe_producers(self, partition): """Returns the producers' ids."""; lacks("description of producers")
    def describe_transaction(self, txn): """Returns the transaction's state."""; lacks("description of transactions")
    def list_transactions(self): lacks("list of transactions")
    def metadata(self, topic=None): """Returns ({broker: host:port}, {topic: partitions})."""; lacks("metadata")
