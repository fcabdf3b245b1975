package handle

// What stands in a request more than once. Kafka keeps most requests by topic, group or partition, so it answers each of them once.

import "sluice/wire/kerr"

// once leaves of each element, by its key, the first, in place.
func once[T any, K comparable](list *[]T, key func(*T) K) {
	seen := make(map[K]bool, len(*list))
	kept := (*list)[:0:0]
	for i := range *list {
		if k := key(&(*list)[i]); !seen[k] {
			seen[k] = true
			kept = append(kept, (*list)[i])
		}
	}
	if len(kept) < len(*list) {
		*list = kept
	}
}

// same is the key of what has no other.
func same[T comparable](v *T) T { return *v }

// gathered puts the parts of topics that stand in several places into the first, and drops topics without parts.
func gathered[T, P any](list *[]T, name func(*T) string, parts func(*T) *[]P) {
	if len(*list) == 1 && len(*parts(&(*list)[0])) > 0 {
		return
	}
	at := make(map[string]int, len(*list))
	kept := (*list)[:0:0]
	for i := range *list {
		t := &(*list)[i]
		if j, again := at[name(t)]; again {
			into := parts(&kept[j])
			*into = append(*into, *parts(t)...)
		} else if len(*parts(t)) > 0 {
			at[name(t)] = len(kept)
			kept = append(kept, *t)
		}
	}
	*list = kept
}

// merged puts the parts of topics that stand in several places into the first, of those topics for which it is wanted.
func merged[T, P any](list *[]T, name func(*T) string, parts func(*T) *[]P, wanted func(*T) bool) {
	at := make(map[string]int, len(*list))
	kept := (*list)[:0:0]
	for i := range *list {
		t := &(*list)[i]
		if j, again := at[name(t)]; again && wanted(t) {
			into := parts(&kept[j])
			*into = append((*into)[:len(*into):len(*into)], *parts(t)...)
			continue
		}
		at[name(t)] = len(kept)
		kept = append(kept, *t)
	}
	if len(kept) < len(*list) {
		*list = kept
	}
}

// checkOps says what is wrong with changes of settings before it is known what they are to change.
func checkOps(ops []alterOp) error {
	seen := map[string]bool{}
	for _, op := range ops {
		switch {
		case seen[op.name]:
			return kerr.Errorf(kerr.InvalidRequest, "Error due to duplicate config keys")
		case op.value == nil && op.op != opDelete:
			return kerr.Errorf(kerr.InvalidRequest, "Null value not supported for: %s", op.name)
		}
		seen[op.name] = true
	}
	return nil
}
