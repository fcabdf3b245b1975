package coord

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDeadlines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Deadlines
		at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
		ds := make([]Deadline, 4)
		model := map[*Deadline]int{}
		now := 1
		for i := range ds {
			d := &ds[i]
			d.Fire = func(time.Time) {
				if when, ok := model[d]; !ok || when > now {
					t.Fatalf("fired at %d, due %d, %v", now, when, ok)
				}
				delete(model, d)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d := &ds[rapid.IntRange(0, len(ds)-1).Draw(t, "which")]
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				model[d] = now + rapid.IntRange(0, 20).Draw(t, "in")
				q.Set(d, at(model[d]))
			case 1:
				d.Cancel()
				delete(model, d)
			default:
				now += rapid.IntRange(0, 10).Draw(t, "pass")
				q.FireDue(at(now))
				for _, when := range model {
					if next, ok := q.Next(); when <= now || !ok || next.After(at(when)) {
						t.Fatalf("due at %d, now %d, next %v", when, now, next)
					}
				}
			}
		}
	})
}
