package audit

import (
	"encoding/json"
	"slices"

	"sluice/base"
)

const stateVersion = 1

// State is what a verification got through: the objects it found in order. It is kept in a file, so that another run can go on.
type State struct {
	Version int        `json:"version"`
	Cluster string     `json:"cluster"`
	Deep    bool       `json:"deep"`
	Done    []Interval `json:"done"` // ids of objects, ascending, apart from each other
}

// Interval is a half-open interval of object ids.
type Interval [2]base.ObjectID

// ParseState reads a state. The error has kind Invalid.
func ParseState(b []byte) (*State, error) {
	s := new(State)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, base.Errorf(base.Invalid, "the state of a verification: %w", err)
	}
	if s.Version != stateVersion {
		return nil, base.Errorf(base.Invalid, "the state of a verification: version %d, this program knows %d", s.Version, stateVersion)
	}
	for i, v := range s.Done {
		if v[0] >= v[1] || i > 0 && s.Done[i-1][1] >= v[0] {
			return nil, base.Errorf(base.Invalid, "the state of a verification: interval %v out of order", v)
		}
	}
	return s, nil
}

// Encode is the inverse of ParseState.
func (s *State) Encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("BUG: audit: " + err.Error())
	}
	return append(b, '\n')
}

// begin prepares the state for a run. What a shallow run saw is of no use to a deep one, nor is another cluster's.
func (s *State) begin(cluster string, deep bool) error {
	if s.Cluster != "" && s.Cluster != cluster {
		return base.Errorf(base.Invalid, "the state to resume from is of cluster %s, the bucket is of cluster %s", s.Cluster, cluster)
	}
	if deep && !s.Deep {
		s.Done = nil
	}
	s.Version, s.Cluster, s.Deep = stateVersion, cluster, deep
	return nil
}

// after returns the position of the first interval that ends at or above id.
func (s *State) after(id base.ObjectID) int {
	i, _ := slices.BinarySearchFunc(s.Done, id, func(v Interval, id base.ObjectID) int {
		if v[1] < id {
			return -1
		}
		return 1
	})
	return i
}

func (s *State) has(id base.ObjectID) bool {
	i := s.after(id + 1)
	return i < len(s.Done) && s.Done[i][0] <= id
}

func (s *State) add(id base.ObjectID) {
	i := s.after(id)
	if i == len(s.Done) || s.Done[i][0] > id+1 {
		s.Done = slices.Insert(s.Done, i, Interval{id, id + 1})
		return
	}
	v := &s.Done[i]
	v[0], v[1] = min(v[0], id), max(v[1], id+1)
	if i+1 < len(s.Done) && s.Done[i+1][0] <= v[1] {
		v[1] = max(v[1], s.Done[i+1][1])
		s.Done = slices.Delete(s.Done, i+1, i+2)
	}
}
