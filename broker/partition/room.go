package partition

import (
	"context"

	"sluice/storage/stream"
)

// Room is where appends to a partition go: the WAL that its streams are bound to and the memory in front of it. Partitions with the same room
// have equal values of it.
type Room interface {
	// Admit waits until there is room for so many bytes. It is called before an append, once for what is appended together.
	Admit(ctx context.Context, bytes int) error
}

// roomOf returns the room of a log, nil if there always is some.
func roomOf(l Log) Room {
	if s, ok := l.(interface{ Engine() *stream.Engine }); ok {
		return s.Engine()
	}
	return nil
}

// Room returns where the partition's appends go; nil: there always is room.
func (p *Partition) Room() Room { return p.room }
