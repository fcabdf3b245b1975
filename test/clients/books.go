package clients

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// books is what a bank's tellers and its auditor know of transfers.
type books struct {
	mu       sync.Mutex
	begun    int64
	outcomes map[int64]outcome
	audited  map[int64]bool
	wrong    []error
}

// outcome is how a transfer ended, as far as its teller was told.
type outcome uint8

const (
	unclear outcome = iota
	committed
	aborted
)

// entry is a record of an account.
type entry struct {
	account int32
	id      string // of the transfer
	change  string
}

func newBooks() *books { return &books{outcomes: map[int64]outcome{}, audited: map[int64]bool{}} }

// begin gives a transfer its number.
func (b *books) begin() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun++
	return b.begun
}

func (b *books) end(id int64, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes[id] = o
}

// saw notes that somebody who reads what is committed has met a transfer.
func (b *books) saw(key []byte) {
	id, err := strconv.ParseInt(string(key), 10, 64)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("a transfer is called %q", key))
	}
	b.audited[id] = true
}

// balance compares what is in the accounts with the books: money is moved, never made; a transfer is there whole or not at all; one that was committed is there, one that
// was aborted is not and was seen by nobody, and what was seen stays. It returns how many transfers there are.
func (b *books) balance(entries []entry) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wrong := slices.Clone(b.wrong)
	sums, halves, total := map[int64]int64{}, map[int64]int{}, int64(0)
	for _, e := range entries {
		id, err := strconv.ParseInt(e.id, 10, 64)
		change, err2 := strconv.ParseInt(e.change, 10, 64)
		if err = errors.Join(err, err2); err != nil || id < 1 || id > b.begun {
			wrong = append(wrong, fmt.Errorf("account %d has %q of transfer %q, which there never was", e.account, e.change, e.id))
			continue
		}
		sums[id] += change
		halves[id]++
		total += change
	}
	if total != 0 {
		wrong = append(wrong, fmt.Errorf("the sum of all accounts is %d, not 0", total))
	}
	for _, id := range slices.Sorted(maps.Keys(halves)) {
		if halves[id] != 2 || sums[id] != 0 {
			wrong = append(wrong, fmt.Errorf("transfer %d has %d halves, whose sum is %d", id, halves[id], sums[id]))
		}
		if b.outcomes[id] == aborted {
			wrong = append(wrong, fmt.Errorf("transfer %d was aborted, and is there", id))
		}
	}
	for id := range b.begun + 1 {
		if b.outcomes[id] == committed && halves[id] == 0 {
			wrong = append(wrong, fmt.Errorf("transfer %d was committed, and is not there", id))
		}
		if b.audited[id] && halves[id] == 0 {
			wrong = append(wrong, fmt.Errorf("transfer %d was seen, and is not there", id))
		}
	}
	if n := len(wrong); n > 5 {
		wrong = append(wrong[:5], fmt.Errorf("and %d more", n-5))
	}
	return len(halves), errors.Join(wrong...)
}
