package cache

// node is an entry of the LRU list of [Blocks]: an extent or an index. It is in the list once it is loaded.
type node struct {
	prev, next *node
	charge     int64
	drop       func() // takes the entry out of its map; under Blocks.mu
}

// lru is an intrusive ring; root.next is the most recently used.
type lru struct{ root node }

func (l *lru) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *lru) pushFront(n *node) {
	n.prev, n.next = &l.root, l.root.next
	n.prev.next, n.next.prev = n, n
}

func (l *lru) remove(n *node) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
}

// touch makes n the most recently used, if it is in the list.
func (l *lru) touch(n *node) {
	if n.next != nil && l.root.next != n {
		l.remove(n)
		l.pushFront(n)
	}
}

// back returns the least recently used node, nil if there is none.
func (l *lru) back() *node {
	if l.root.prev == &l.root {
		return nil
	}
	return l.root.prev
}
