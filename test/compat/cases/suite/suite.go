// Package suite holds the cases that clients written in Go share, and runs them over an adapter for each client: see package cases for what a
// program prints, and Client for the adapter.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Case is one thing that is checked, called FEATURE/NAME.
type Case struct {
	Name string
	Run  func(t *T)
}

// T is a run of one case. Its methods that fail a case end it.
type T struct {
	context.Context
	Client Client
	prefix string
	undo   []func()
}

const (
	caseMax = 50 * time.Second
	atOnce  = 12 // most of a case is waiting
)

type failed struct{ why string }
type skipped struct{ why string }

// Fail ends the case.
func (t *T) Fail(format string, args ...any) { panic(failed{fmt.Sprintf(format, args...)}) }

// Skip ends a case that the client lacks something for.
func (t *T) Skip(why string) { panic(skipped{why}) }

// Must ends the case if there is an error.
func (t *T) Must(what string, err error) {
	if errors.Is(err, ErrLacks) {
		t.Skip("the client lacks it: " + what)
	}
	if err != nil {
		t.Fail("%s: %v", what, err)
	}
}

// Code ends the case unless the error is the one of Kafka's with this number.
func (t *T) Code(what string, err error, want int) {
	if errors.Is(err, ErrLacks) {
		t.Skip("the client lacks it: " + what)
	}
	if err == nil {
		t.Fail("%s: no error, want code %d", what, want)
	}
	if errors.Is(err, ErrTextOnly) {
		t.Skip("the client does not tell the code: " + what)
	}
	if got, ok := t.Client.Code(err); !ok || got != want {
		t.Fail("%s: code %d, want %d: %v", what, got, want, err)
	}
}

// Equal ends the case unless both are equal.
func (t *T) Equal(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		t.Fail("%s: %s, want %s", what, short(got), short(want))
	}
}

// True ends the case unless it holds.
func (t *T) True(what string, ok bool) {
	if !ok {
		t.Fail("not so: %s", what)
	}
}

// Until waits for a condition.
func (t *T) Until(what string, ok func() bool) {
	for !ok() {
		if t.Err() != nil {
			t.Fail("it never came about: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Cleanup runs a function when the case is over.
func (t *T) Cleanup(undo func()) { t.undo = append(t.undo, undo) }

// ID returns a name that no other case has.
func (t *T) ID(s string) string { return t.prefix + s }

func short(v any) string {
	text := fmt.Sprintf("%+v", v)
	return text[:min(len(text), 200)]
}

// Main runs the cases that all clients share and those that are the client's own, prints the outcomes, and ends the program. CASES in the environment
// names some of them, with commas between; a part of the name is enough.
func Main(client Client, own ...Case) {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: "+os.Args[0]+" BOOTSTRAP PREFIX")
		os.Exit(2)
	}
	if err := client.Open(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var all []Case
	for _, c := range append(shared(), own...) {
		if chosen(c.Name) {
			all = append(all, c)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, c := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			start := time.Now()
			line := c.outcome(client, os.Args[2])
			mu.Lock()
			defer mu.Unlock()
			fmt.Println("case " + c.Name + " " + strings.Join(strings.Fields(line), " "))
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.Name, time.Since(start).Round(time.Millisecond))
		})
	}
	wg.Wait()
	fmt.Printf("done %d\n", len(all))
	os.Exit(0)
}

func chosen(name string) bool {
	want := os.Getenv("CASES")
	for part := range strings.SplitSeq(want, ",") {
		if want == "" || part != "" && strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func shared() (all []Case) {
	for _, some := range [][]Case{
		produceCases(), compressionCases(), recordCases(), partitioningCases(), idempotenceCases(), transactionCases(), consumeCases(), offsetCases(), groupCases(),
		memberCases(), topicCases(), configCases(), adminGroupCases(), adminOffsetCases(), adminCases(), errorCases(), timeCases(), metadataCases(), securityCases(),
	} {
		all = append(all, some...)
	}
	return all
}

// outcome runs the case, and gives it up when it does not end by itself.
func (c Case) outcome(client Client, prefix string) string {
	ctx, cancel := context.WithTimeout(context.Background(), caseMax)
	defer cancel()
	t := &T{Context: ctx, Client: client, prefix: prefix + strings.ReplaceAll(c.Name, "/", "-") + "-"}
	ended := make(chan string, 1)
	go func() { ended <- c.run(t) }()
	select {
	case line := <-ended:
		return line
	case <-time.After(caseMax + 5*time.Second):
		return "fail it does not end"
	}
}

func (c Case) run(t *T) (line string) {
	defer func() {
		switch p := recover().(type) {
		case nil:
			line = "ok"
		case failed:
			line = "fail " + p.why
		case skipped:
			line = "skip " + p.why
		default:
			line = fmt.Sprintf("fail panic: %v", p)
		}
		for i := len(t.undo) - 1; i >= 0; i-- {
			t.undo[i]()
		}
	}()
	c.Run(t)
	return ""
}
