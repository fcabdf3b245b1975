package object

import (
	"strconv"

	"sluice/base"
)

// Key returns the bucket key of an object: <hash>/<cluster>/<object id>, all hexadecimal. The hash spreads consecutive ids over 256
// prefixes, because stores partition by prefix; it is part of the format.
func Key(cluster base.UUID, id base.ObjectID) string {
	h := uint64(id) * 0x9e3779b97f4a7c15 >> 56
	b := make([]byte, 0, 2+1+32+1+16)
	if h < 16 {
		b = append(b, '0')
	}
	b = strconv.AppendUint(b, h, 16)
	b = append(b, '/')
	b = append(b, cluster.Hex()...)
	b = append(b, '/')
	return string(append(b, id.String()...))
}
