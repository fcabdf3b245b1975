package control

import (
	"net"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/mem"
)

// Images from before the registration, which subscribers get late, do not say that the node was fenced.
func TestRegistrationIsNotFencedByTheImageBefore(t *testing.T) {
	fenced := make(chan error, 1)
	m, err := Join(t.Context(), MemberOptions{Controller: Options{Store: mem.New()}, Former: base.NoNode, Session: time.Minute, OnFenced: func(err error) { fenced <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Serve(ln)
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	defer m.Subscribe(func(_, _ *meta.Image) {
		held <- struct{}{}
		<-hold
	})()
	register := func() (meta.NodeRef, error) {
		return m.Register(t.Context(), &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, WAL: "s3"})
	}
	for _, name := range []string{"a", "b"} { // the image with a is being delivered, that with b waits
		if _, err := Do[meta.Outcomes](t.Context(), m, &meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.BrokerConfig, Configs: map[string]string{"x": name}}}}); err != nil {
			t.Fatal(err)
		}
	}
	<-held
	ref, err := register()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{}, 100)
	defer m.Subscribe(func(_, img *meta.Image) {
		if img.Current(ref) {
			seen <- struct{}{}
		}
	})()
	close(hold)
	<-seen
	never := false
	m.fenced.Do(func() { never = true })
	if !never {
		t.Fatal(<-fenced)
	}
}
