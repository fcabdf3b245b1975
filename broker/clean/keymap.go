package clean

import (
	"crypto/sha256"
	"encoding/binary"

	"sluice/base"
)

// keyMap knows the newest offset of keys, in bounded memory whatever the keys are: it keeps 128 bits of a key's SHA-256 in its place. Two keys
// with the same bits would cost a record; nobody can make such keys (Kafka's SkimpyOffsetMap does the same with MD5). When it is full it takes no
// more keys: what lies behind the first that did not fit is left to the next pass.
type keyMap struct {
	slots []keySlot // open addressing, linear probing
	keys  int
	max   int // keys it takes
}

type keySlot struct {
	hi, lo uint64
	end    int64 // newest offset + 1; 0: the slot is free
}

const (
	keySlotBytes = 24
	keySlotsMin  = 64
)

// newKeyMap returns a map for so many keys, or as many as fit into bytes with the load factor, if that is less.
func newKeyMap(keys, bytes int64, load float64) *keyMap {
	slots := max(min(bytes/keySlotBytes, int64(float64(keys)/load)+1), keySlotsMin)
	return &keyMap{slots: make([]keySlot, slots), max: max(min(int(float64(slots)*load), int(slots)-1), 1)}
}

func (m *keyMap) find(key []byte) (slot *keySlot, hi, lo uint64) {
	sum := sha256.Sum256(key)
	hi, lo = binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
	n := uint64(len(m.slots))
	for i := hi % n; ; i = (i + 1) % n {
		if s := &m.slots[i]; s.end == 0 || s.hi == hi && s.lo == lo {
			return s, hi, lo
		}
	}
}

// put notes an offset of a key; those of one key ascend. It reports false, and changes nothing, when there is no room for the key.
func (m *keyMap) put(key []byte, at base.Offset) bool {
	s, hi, lo := m.find(key)
	if s.end == 0 {
		if m.keys == m.max {
			return false
		}
		m.keys++
	}
	*s = keySlot{hi, lo, int64(at) + 1}
	return true
}

// newest returns the newest offset of a key, -1 if the map does not have it.
func (m *keyMap) newest(key []byte) base.Offset {
	s, _, _ := m.find(key)
	return base.Offset(s.end - 1)
}
