package driver

import "context"

// Tidier is a store that may be left with something that is no object, such as the temporary file of a put that was cut off.
type Tidier interface {
	// Tidy removes what no put can still be working on, and returns how much that was.
	Tidy(ctx context.Context) (int, error)
}

// Tidy tidies the store inside of the wrappers (those that have an Unwrap method), if it is one that has to be.
func Tidy(ctx context.Context, s Store) (int, error) {
	for {
		if t, ok := s.(Tidier); ok {
			return t.Tidy(ctx)
		}
		w, ok := s.(interface{ Unwrap() Store })
		if !ok {
			return 0, nil
		}
		s = w.Unwrap()
	}
}
