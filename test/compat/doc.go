// Package compat runs real Kafka clients against the built binary, each a program of its own: kcat and confluent-kafka-python
// (librdkafka), kafkajs, sarama, franz-go with the broker tests of its own suite, and Apache Kafka's command line tools. Every
// program also passes against Apache Kafka itself: name a broker in SLUICE_COMPAT_BOOTSTRAP to run them against that.
//
// Four of the stacks also run through moves, restarts and the loss of a broker of a cluster: see TestFailover. One works on while Kafka's tool
// changes the WAL class of its topic: see TestClassChangesWithTool.
//
// Sarama's own functional tests run against five brokers behind proxies: a few of them, or all with SLUICE_COMPAT=sarama-functional. See
// TestSaramaFunctional.
//
// Two of the stacks, beside franz-go, read a topic that key compaction has been through: see TestCompacted.
//
// `make deps` installs what the programs need.
package compat
