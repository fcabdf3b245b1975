package world

import "fmt"

// GroupOf is a group of consumers whose members come and go.
type GroupOf struct {
	Kind    string
	Members int
}

func (g GroupOf) String() string { return fmt.Sprintf("%d×%s", g.Members, g.Kind) }

func (g GroupOf) check() error { return nil }
