package cache

// node is an entry of [Blocks]: an extent or an index. It is in one of the lists once it is loaded.
type node struct {
	prev, next *node
	in         *lru
	charge     int64
	ext        *extent // nil: an index
	drop       func()  // takes the entry out of its map; under Blocks.mu
}

// lru is an intrusive ring; root.next is the most recently used.
type lru struct {
	root  node
	bytes int64 // charged for what is in it
}

func (l *lru) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *lru) pushFront(n *node) {
	n.prev, n.next, n.in = &l.root, l.root.next, l
	n.prev.next, n.next.prev = n, n
	l.bytes += n.charge
}

// remove takes n out of the list it is in.
func (n *node) remove() {
	n.in.bytes -= n.charge
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next, n.in = nil, nil, nil
}

// touch makes n the most recently used of its list, if it is in one.
func (n *node) touch() {
	if l := n.in; l != nil && l.root.next != n {
		n.remove()
		l.pushFront(n)
	}
}

// moveTo makes n the most recently used of l, if it is in a list.
func (n *node) moveTo(l *lru) {
	if n.in != nil {
		n.remove()
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
