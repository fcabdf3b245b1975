package audit

import (
	"fmt"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/cluster/metalog"
	"sluice/storage/object"
	"sluice/storage/objstore"
)

// Class says what a key stands for, by its form alone.
type Class uint8

const (
	// Foreign: none of ours.
	Foreign Class = iota
	// Object: `<hash>/<cluster>/<object id>`.
	Object
	// MetaSlot: a slot of the metadata log.
	MetaSlot
	// Snapshot: of the metadata.
	Snapshot
	// Mark: says that the metadata log is elsewhere.
	Mark
	// WALSlot: a slot of a write-ahead log of class s3.
	WALSlot
	// ProbeKey: what a probe of the store put and did not get to delete.
	ProbeKey
)

func (c Class) String() string {
	return [...]string{"foreign", "object", "metadata slot", "metadata snapshot", "mark", "WAL slot", "probe"}[min(c, ProbeKey)]
}

// Key is a key taken apart.
type Key struct {
	Class   Class
	Cluster base.UUID        // Object
	Object  base.ObjectID    // Object
	Node    base.NodeID      // WALSlot
	At      metalog.Position // MetaSlot, Snapshot, WALSlot: epoch and slot
}

// ParseKey takes a key of the bucket apart. meta is the name of the metadata log, mostly "meta". What is not exactly as it would have been
// written is Foreign.
func ParseKey(meta, key string) Key {
	for _, parse := range []func(meta, key string) (Key, string){parseObject, parseMeta, parseWAL} {
		if k, written := parse(meta, key); k.Class != Foreign && written == key {
			return k
		}
	}
	if objstore.IsProbeKey(key) {
		return Key{Class: ProbeKey}
	}
	return Key{}
}

// parseObject returns the key's parts and how a key with those parts is written; so do the other two.
func parseObject(_, key string) (Key, string) {
	p := strings.Split(key, "/")
	if len(p) != 3 || len(p[0]) != 2 || len(p[1]) != 32 || !isHex(p[1]) {
		return Key{}, ""
	}
	id, ok := hex16(p[2])
	if !ok {
		return Key{}, ""
	}
	var cluster base.UUID
	for i := range cluster {
		b, _ := strconv.ParseUint(p[1][2*i:2*i+2], 16, 8)
		cluster[i] = byte(b)
	}
	k := Key{Class: Object, Cluster: cluster, Object: base.ObjectID(id)}
	return k, object.Key(cluster, k.Object)
}

func parseMeta(meta, key string) (Key, string) {
	rest, ok := strings.CutPrefix(key, meta+"/")
	if !ok {
		return Key{}, ""
	}
	if rest == "place" {
		return Key{Class: Mark}, key
	}
	k, sep := Key{Class: MetaSlot}, "/"
	if snapshot, ok := strings.CutPrefix(rest, "snapshot/"); ok {
		k.Class, sep, rest = Snapshot, "-", snapshot
	}
	at, ok := position(rest, sep)
	if !ok {
		return Key{}, ""
	}
	k.At = at
	return k, key
}

func parseWAL(_, key string) (Key, string) {
	rest, ok := strings.CutPrefix(key, "wal/")
	name, rest, ok2 := strings.Cut(rest, "/")
	at, ok3 := position(rest, "/")
	node, err := strconv.ParseUint(name, 16, 32)
	if !ok || !ok2 || !ok3 || err != nil {
		return Key{}, ""
	}
	k := Key{Class: WALSlot, Node: base.NodeID(uint32(node)), At: at}
	return k, fmt.Sprintf("wal/%08x/%016x/%016x", uint32(k.Node), at.Epoch, at.Slot)
}

// position reads an epoch and a slot.
func position(s, sep string) (metalog.Position, bool) {
	a, b, ok := strings.Cut(s, sep)
	epoch, ok1 := hex16(a)
	slot, ok2 := hex16(b)
	return metalog.Position{Epoch: epoch, Slot: slot}, ok && ok1 && ok2
}

func hex16(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 16, 64)
	return v, err == nil && len(s) == 16 && isHex(s)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
