package assign

import "sluice/base"

// Range gives every member a stretch of each topic it subscribes to. Static members come first, so that they keep their place when
// others come and go.
func Range(members []Member, partitions func(base.UUID) int32) [][]Partition {
	type stretch struct{ each, extra, next int32 }
	subscribers := map[base.UUID]int32{}
	for _, m := range members {
		for _, t := range m.Topics {
			subscribers[t]++
		}
	}
	topics := make(map[base.UUID]*stretch, len(subscribers))
	for t, n := range subscribers {
		topics[t] = &stretch{each: partitions(t) / n, extra: partitions(t) % n}
	}
	targets := make([][]Partition, len(members))
	for _, i := range byIdentity(members) {
		for _, t := range members[i].Topics {
			s := topics[t]
			n := s.each
			if s.extra > 0 {
				n++
				s.extra--
			}
			for ; n > 0; n-- {
				targets[i] = append(targets[i], Partition{t, s.next})
				s.next++
			}
		}
	}
	return sorted(targets)
}
