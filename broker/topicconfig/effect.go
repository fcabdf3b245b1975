package topicconfig

import (
	"slices"
	"strings"
)

// brokerEffects says what dynamic settings of brokers do that are not the defaults of topics.
var brokerEffects = map[string]string{
	"log.cleaner.backoff.ms":              "Applies from the next look on.",
	"log.cleaner.threads":                 "Applies from the next round on.",
	"log.cleaner.dedupe.buffer.size":      "Applies from the next round on; at most what the setting of the start says.",
	"log.cleaner.io.buffer.load.factor":   "Applies from the next round on.",
	"log.cleaner.io.max.bytes.per.second": "Applies from the next round on.",
	"max.connections":                     "Applies to connections that come after it; it goes before the setting of the start.",
	"max.connections.per.ip":              "Applies to connections that come after it.",
	"max.connections.per.ip.overrides":    "Applies to connections that come after it; addresses, no names of hosts.",
	"max.connection.creation.rate":        "Applies to connections that come after it.",
	"producer.id.expiration.ms":           "Applies from the next look on.",

	"errors.deadletterqueue.auto.create.topics.enable": "Applies from the next dead letter on: whether a topic for dead letters that is missing is created.",
	"errors.deadletterqueue.topic.name.prefix":         "Applies from the next dead letter on: how the names of topics for dead letters must begin.",
}

const (
	noPools   = "Accepted, no effect: there are no thread pools."
	noCopies  = "Accepted, no effect: nothing is copied when a partition moves. kafka-reassign-partitions.sh sets it."
	noBuffers = "Accepted, no effect: buffers grow and shrink by themselves."
)

// idleBrokerSettings are accepted because tools and tests set them, and mean nothing here.
var idleBrokerSettings = map[string]string{
	"leader.replication.throttled.rate": noCopies, "follower.replication.throttled.rate": noCopies, "replica.alter.log.dirs.io.max.bytes.per.second": noCopies,
	"background.threads": noPools, "num.io.threads": noPools, "num.network.threads": noPools, "num.recovery.threads.per.data.dir": noPools, "num.replica.fetchers": noPools,
	"log.cleaner.io.buffer.size": noBuffers, "group.coordinator.cached.buffer.max.bytes": noBuffers, "share.coordinator.cached.buffer.max.bytes": noBuffers,
}

// Effect says for people what becomes of a dynamic broker setting here.
func (d *Def) Effect() string {
	if why := d.Refused(); why != "" {
		return "Refused: " + why + "."
	}
	if e := brokerEffects[d.Name] + idleBrokerSettings[d.Name]; e != "" {
		return e
	}
	for _, t := range topics.defs {
		if slices.Contains(t.Synonyms, d.Name) {
			if strings.HasPrefix(t.Doc, "No effect") {
				return "Accepted, no effect, as `" + t.Name + "` has none."
			}
			return "Applies at once to topics that do not set `" + t.Name + "`."
		}
	}
	for _, g := range groups.defs {
		if slices.Contains(g.Synonyms, d.Name) {
			return "Applies to groups that do not set `" + g.Name + "`."
		}
	}
	return "Accepted, no effect yet."
}
