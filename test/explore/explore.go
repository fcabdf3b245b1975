package explore

import (
	"fmt"
	"hash/maphash"
	"os"
	"strings"
)

// World is a state of the model under test. W is the world's own type.
type World[W any] interface {
	// Clone returns an independent copy.
	Clone() W
	// AppendKey appends to dst what tells this world from others with another future.
	AppendKey(dst []byte) []byte
	// Steps calls add for everything that can happen next, always in the same order for worlds with the same key.
	Steps(add Add[W])
	// Check returns what is wrong with the world, or nil.
	Check() error
	// End returns what is wrong with a world in which nothing more can happen, or nil.
	End() error
}

// Add takes one step: what it is called, and what it does to a clone of the world. The name is formatted only for a trace. An error
// of do is a violation.
type Add[W any] func(do func(W) error, name string, args ...any)

// Limit bounds an exploration. Zero fields are no bounds.
type Limit struct {
	States int // stop after so many distinct states
	Depth  int // steps from the start
}

// Result is what an exploration has seen.
type Result struct {
	States   int        // distinct states
	Steps    int        // steps taken, those into states seen before included
	Depth    int        // steps to the state farthest from the start
	Ends     int        // states in which nothing more could happen
	Complete bool       // no limit cut anything off
	Found    *Violation // nil: nothing is wrong
}

func (r Result) String() string {
	s := fmt.Sprintf("%d states, %d steps, depth %d, %d ends", r.States, r.Steps, r.Depth, r.Ends)
	if !r.Complete {
		s += ", cut off"
	}
	return s
}

// Violation is what was found wrong, and a shortest way there.
type Violation struct {
	Err   error
	Trace []string
}

func (v *Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v, after %d steps:", v.Err, len(v.Trace))
	for i, s := range v.Trace {
		fmt.Fprintf(&b, "\n%4d  %s", i+1, s)
	}
	return b.String()
}

// id is the hash of a key; that two keys share one is less likely than a broken machine.
type id [2]uint64

// origin is how a state was reached first.
type origin struct {
	parent int32
	step   uint16
}

// explorer walks through worlds level by level. The worlds of the present level and the next are in memory; of all others there are
// only the hash and the origin.
type explorer[W World[W]] struct {
	limit   Limit
	start   W
	seeds   [2]maphash.Seed
	seen    map[id]struct{}
	origins []origin
	key     []byte
	res     Result
	next    []reached[W]
}

type reached[W any] struct {
	world W
	index int32 // in origins
}

// Walk explores all that can come of start, up to the limit or to the first thing that is wrong.
func Walk[W World[W]](start W, limit Limit) Result {
	e := &explorer[W]{limit: limit, start: start, seen: map[id]struct{}{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	e.res.Complete = true
	e.enter(start.Clone(), origin{-1, 0})
	for depth := 0; len(e.next) > 0 && e.res.Found == nil; depth++ {
		if e.limit.Depth > 0 && depth == e.limit.Depth {
			e.res.Complete = false
			break
		}
		level := e.next
		e.next = nil
		for i := range level {
			e.expand(level[i])
			level[i] = reached[W]{} // its memory can go
			if e.res.Found != nil || !e.res.Complete {
				break
			}
		}
		if len(e.next) > 0 {
			e.res.Depth = depth + 1
		}
		if !e.res.Complete {
			break
		}
	}
	return e.res
}

// expand takes every step of a world.
func (e *explorer[W]) expand(at reached[W]) {
	if err := at.world.Check(); err != nil {
		e.found(err, at.index, -1)
		return
	}
	n := 0
	at.world.Steps(func(do func(W) error, _ string, _ ...any) {
		step := n
		n++
		if e.res.Found != nil || !e.res.Complete {
			return
		}
		e.res.Steps++
		w := at.world.Clone()
		if err := do(w); err != nil {
			e.found(err, at.index, step)
			return
		}
		e.enter(w, origin{at.index, uint16(step)})
	})
	if n == 0 {
		e.res.Ends++
		if err := at.world.End(); err != nil {
			e.found(err, at.index, -1)
		}
	}
}

// enter keeps a world unless one with its key was seen before.
func (e *explorer[W]) enter(w W, from origin) {
	e.key = w.AppendKey(e.key[:0])
	h := id{maphash.Bytes(e.seeds[0], e.key), maphash.Bytes(e.seeds[1], e.key)}
	if _, ok := e.seen[h]; ok {
		return
	}
	if e.limit.States > 0 && e.res.States == e.limit.States {
		e.res.Complete = false
		return
	}
	e.seen[h] = struct{}{}
	e.origins = append(e.origins, from)
	e.res.States++
	e.next = append(e.next, reached[W]{w, int32(len(e.origins) - 1)})
}

// found walks the way to a state once more, this time with names. last is the step that failed there, or -1.
func (e *explorer[W]) found(err error, index int32, last int) {
	var way []int
	if last >= 0 {
		way = append(way, last)
	}
	for i := index; e.origins[i].parent >= 0; i = e.origins[i].parent {
		way = append(way, int(e.origins[i].step))
	}
	v := &Violation{Err: err}
	w := e.start.Clone()
	for i := len(way) - 1; i >= 0; i-- {
		n, next := 0, w.Clone()
		w.Steps(func(do func(W) error, name string, args ...any) {
			if n == way[i] {
				v.Trace = append(v.Trace, fmt.Sprintf(name, args...))
				_ = do(next) // the last one fails again
			}
			n++
		})
		w = next
	}
	e.res.Found = v
}

// Deep reports whether the models are to run with their large bounds (`make model`).
func Deep() bool { return os.Getenv("SLUICE_MODEL") == "deep" }
