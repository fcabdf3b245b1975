package handle

import (
	"testing"

	"sluice/wire/msg"
)

// Whoever adds an API says who may use it: a line in guards, by Kafka's rules. Without one it is refused to all but super users when there is an
// authorizer.
func TestEveryAPIHasAGuard(t *testing.T) {
	for key := range apis {
		if _, ok := guards[key]; !ok {
			t.Errorf("%s has no line in guards (guards.go): say which operation on which resource it takes", msg.Name(key))
		}
	}
}
