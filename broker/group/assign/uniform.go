package assign

import (
	"slices"

	"sluice/base"
)

// Uniform spreads partitions evenly and moves as few as it can.
func Uniform(members []Member, partitions func(base.UUID) int32) [][]Partition {
	if len(members) == 0 {
		return nil
	}
	u := newUniform(members, partitions)
	if homogeneous(members) {
		u.fillQuotas()
	} else {
		u.fillLeast()
		u.balance()
	}
	return sorted(u.targets)
}

// uniform is a computation under way: targets hold what members keep, free what nobody has.
type uniform struct {
	members []Member
	order   []int // in which members are served
	targets [][]Partition
	total   int // partitions to be assigned
	free    []Partition
	takers  map[base.UUID][]int // who subscribes to a topic, in order
}

// newUniform lets every member keep what exists, is subscribed to and is nobody else's.
func newUniform(members []Member, partitions func(base.UUID) int32) *uniform {
	u := &uniform{members: members, order: byIdentity(members), targets: make([][]Partition, len(members)), takers: map[base.UUID][]int{}}
	var topics []base.UUID
	for _, i := range u.order {
		for _, t := range members[i].Topics {
			if u.takers[t] == nil {
				topics = append(topics, t)
			}
			u.takers[t] = append(u.takers[t], i)
		}
	}
	taken := map[Partition]bool{}
	for _, i := range u.order {
		current := slices.Clone(members[i].Current)
		slices.SortFunc(current, Partition.Compare)
		for _, p := range current {
			if taken[p] || !slices.Contains(u.takers[p.Topic], i) || p.Index >= partitions(p.Topic) {
				continue
			}
			taken[p] = true
			u.targets[i] = append(u.targets[i], p)
		}
	}
	for _, t := range sortedTopics(topics) {
		n := partitions(t)
		u.total += int(n)
		for index := range n {
			if p := (Partition{t, index}); !taken[p] {
				u.free = append(u.free, p)
			}
		}
	}
	return u
}

// fillQuotas serves members that all subscribe to the same: everybody's quota is known beforehand, what is above it becomes free, and
// what is free fills up the others. The partitions that do not divide evenly stay with members that have them already, for a quota
// that went by order alone would move partitions for nothing.
func (u *uniform) fillQuotas() {
	each, extra := u.total/len(u.members), u.total%len(u.members)
	quota := make([]int, len(u.members))
	serve := slices.Clone(u.order)
	slices.SortStableFunc(serve, func(i, j int) int { return len(u.targets[j]) - len(u.targets[i]) })
	for _, i := range serve {
		if quota[i] = each; extra > 0 {
			quota[i]++
			extra--
		}
		if over := u.targets[i]; len(over) > quota[i] {
			u.targets[i] = over[:quota[i]:quota[i]]
			u.free = append(u.free, over[quota[i]:]...)
		}
	}
	for _, i := range u.order {
		n := min(quota[i]-len(u.targets[i]), len(u.free))
		u.targets[i] = append(u.targets[i], u.free[:n]...)
		u.free = u.free[n:]
	}
	if len(u.free) > 0 {
		panic("BUG: partitions are left that nobody got")
	}
}

// fillLeast gives each free partition to the subscriber that has least. Topics with few subscribers come first: they have less choice.
func (u *uniform) fillLeast() {
	slices.SortStableFunc(u.free, func(a, b Partition) int { return len(u.takers[a.Topic]) - len(u.takers[b.Topic]) })
	for _, p := range u.free {
		i := u.least(p.Topic)
		u.targets[i] = append(u.targets[i], p)
	}
	u.free = nil
}

func (u *uniform) least(topic base.UUID) int {
	best := u.takers[topic][0]
	for _, i := range u.takers[topic][1:] {
		if len(u.targets[i]) < len(u.targets[best]) {
			best = i
		}
	}
	return best
}

// balance moves partitions to subscribers that have at least two fewer, until there are none. Every move lowers the sum of the squares
// of the members' counts, so it ends.
func (u *uniform) balance() {
	for moved := true; moved; {
		moved = false
		for _, i := range u.order {
			for k := 0; k < len(u.targets[i]); {
				to := u.least(u.targets[i][k].Topic)
				if len(u.targets[to])+1 >= len(u.targets[i]) {
					k++
					continue
				}
				u.targets[to] = append(u.targets[to], u.targets[i][k])
				u.targets[i] = slices.Delete(u.targets[i], k, k+1)
				moved = true
			}
		}
	}
}
