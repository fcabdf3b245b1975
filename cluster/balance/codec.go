package balance

import (
	"encoding/binary"
	"math"

	"sluice/base"
)

// MaxPartitions bounds the partitions one report lists: about 2.5 KiB of each heartbeat.
const MaxPartitions = 100

const (
	loadVersion = 1
	cpuScale    = 10_000  // CPU travels in ten-thousandths
	rateMax     = 1 << 53 // larger rates are cut off
)

// AppendLoad appends the encoding of l: a version byte, CPU in ten-thousandths, the three rates and the listed partitions (topic, index,
// three rates), all numbers as unsigned varints. Rates are rounded to whole units; partitions beyond MaxPartitions are left out, negative
// values and such that are no numbers become 0.
func AppendLoad(dst []byte, l NodeLoad) []byte {
	dst = append(dst, loadVersion)
	dst = binary.AppendUvarint(dst, whole(min(l.CPU, 1)*cpuScale))
	dst = appendRates(dst, l.BytesIn, l.BytesOut, l.Requests)
	list := l.Partitions[:min(len(l.Partitions), MaxPartitions)]
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for i := range list {
		p := &list[i]
		dst = append(dst, p.Partition.Topic[:]...)
		dst = binary.AppendUvarint(dst, uint64(uint32(p.Partition.Index)))
		dst = appendRates(dst, p.BytesIn, p.BytesOut, p.Requests)
	}
	return dst
}

func appendRates(dst []byte, rates ...float64) []byte {
	for _, r := range rates {
		dst = binary.AppendUvarint(dst, whole(r))
	}
	return dst
}

// whole rounds to a number that a varint and a float64 both hold exactly.
func whole(v float64) uint64 {
	if !(v > 0) { // NaN too
		return 0
	}
	return uint64(math.Round(min(v, rateMax)))
}

// DecodeLoad is the inverse of AppendLoad and takes all of b. Errors have kind Corrupt.
func DecodeLoad(b []byte) (NodeLoad, error) {
	if len(b) == 0 || b[0] != loadVersion {
		return NodeLoad{}, base.Errorf(base.Corrupt, "load report: version is missing or not %d", loadVersion)
	}
	d := decoder{b: b[1:]}
	var l NodeLoad
	l.CPU = min(d.rate()/cpuScale, 1)
	l.BytesIn, l.BytesOut, l.Requests = d.rate(), d.rate(), d.rate()
	n := d.uvarint()
	if n > MaxPartitions {
		return NodeLoad{}, base.Errorf(base.Corrupt, "load report: %d partitions, at most %d are possible", n, MaxPartitions)
	}
	for range n {
		var p PartitionLoad
		d.bytes(p.Partition.Topic[:])
		index := d.uvarint()
		if index > math.MaxInt32 {
			d.bad = true
		}
		p.Partition.Index = int32(index)
		p.BytesIn, p.BytesOut, p.Requests = d.rate(), d.rate(), d.rate()
		if d.bad {
			break
		}
		l.Partitions = append(l.Partitions, p)
	}
	if d.bad || len(d.b) > 0 {
		return NodeLoad{}, base.Errorf(base.Corrupt, "load report of %d bytes: cut short, or bytes that do not belong", len(b))
	}
	return l, nil
}

// decoder consumes b; after the first mistake everything is 0 and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) rate() float64 {
	v := d.uvarint()
	if v > rateMax {
		d.bad = true
		return 0
	}
	return float64(v)
}

func (d *decoder) bytes(dst []byte) {
	if copy(dst, d.b) < len(dst) {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[len(dst):]
}
