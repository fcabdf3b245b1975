package seeded

import "testing"

func TestRegistry(t *testing.T) {
	seen := map[Name]bool{}
	for _, e := range All() {
		if e.Name == "" || e.Guarantee == "" || e.Place == "" || e.Does == "" || seen[e.Name] {
			t.Errorf("%+v is not complete, or is there twice", e)
		}
		seen[e.Name] = true
		if Bug(e.Name) && !Built {
			t.Errorf("%s is on in a build without the tag", e.Name)
		}
	}
	if _, ok := Find("no such mistake"); ok {
		t.Error("found a mistake that does not exist")
	}
}
