package base

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestKindSurvivesWrapping(t *testing.T) {
	cause := errors.New("connection reset")
	err := fmt.Errorf("put slot: %w", Wrap(Undetermined, cause))
	if KindOf(err) != Undetermined || !errors.Is(err, cause) {
		t.Fatalf("kind %v, is cause %v", KindOf(err), errors.Is(err, cause))
	}
	if outer := Wrap(Fenced, err); KindOf(outer) != Fenced {
		t.Fatalf("outermost kind must win, got %v", KindOf(outer))
	}
	if KindOf(context.DeadlineExceeded) != Unavailable || KindOf(cause) != Unknown {
		t.Fatal("unclassified errors")
	}
	if Wrap(Full, nil) != nil || IsKind(nil, Unknown) {
		t.Fatal("nil is no error")
	}
}

func TestUUIDText(t *testing.T) {
	for range 1000 {
		u := NewUUID()
		back, err := ParseUUID(u.String())
		if err != nil || back != u || u.String()[0] == '-' {
			t.Fatalf("%v: %v, %v", u, back, err)
		}
	}
	if _, err := ParseUUID("short"); !IsKind(err, Invalid) {
		t.Fatalf("got %v", err)
	}
}
