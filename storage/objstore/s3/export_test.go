package s3

const (
	testWhole = 2 << 20
	testPart  = 1 << 20
)

// Cut has the store cut bodies as tests can afford: those above whole bytes, in parts of so many.
func (s *Store) Cut(whole, part int64) {
	s.parts = func(size int64) (int, int64) {
		if size <= whole {
			return 0, size
		}
		return int((size + part - 1) / part), part
	}
}
