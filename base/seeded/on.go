//go:build seededbugs

package seeded

import (
	"fmt"
	"os"
	"sync/atomic"
)

// Built says whether mistakes were built in.
const Built = true

var chosen atomic.Pointer[Name]

func init() { Choose(Name(os.Getenv(Env))) }

// Bug reports whether the mistake is on.
func Bug(n Name) bool { return *chosen.Load() == n }

// Choose turns one mistake on, and the one before off; the empty name is none.
func Choose(n Name) {
	if _, ok := Find(n); !ok && n != "" {
		panic(fmt.Sprintf("BUG: seeded: there is no mistake called %q", string(n)))
	}
	chosen.Store(&n)
}
