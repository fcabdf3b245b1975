package handle

import (
	"fmt"
	"testing"

	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TestAlterWhileOthersDo: a change of settings goes through, however often those of other resources are changed between its reading and its writing.
func TestAlterWhileOthersDo(t *testing.T) {
	b := newBroker(t, 1)
	const others = 16
	stop, ended := make(chan struct{}), make(chan error)
	for i := range others {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				change := meta.ConfigChange{Kind: meta.GroupConfig, Name: fmt.Sprintf("other-%d", i), Configs: map[string]string{"n": fmt.Sprint(n)}}
				if _, err := control.Do[meta.Outcomes](t.Context(), b.ctl, &meta.AlterConfigs{Changes: []meta.ConfigChange{change}}); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	for i := range 50 {
		resp, value := new(msg.IncrementalAlterConfigsResponse), "50000"
		b.ask(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: groupResource, ResourceName: fmt.Sprintf("group-%d", i),
			Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: "consumer.session.timeout.ms", ConfigOperation: opSet, Value: &value}}}}}, resp)
		if code := kerr.Code(resp.Responses[0].ErrorCode); code != kerr.None {
			t.Errorf("group %d: %v", i, code)
		}
	}
	close(stop)
	for range others {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAlterTheSame: changes of one resource by several at once are all in it in the end.
func TestAlterTheSame(t *testing.T) {
	b := newBroker(t, 1)
	const others = 8
	ended := make(chan error)
	h := New(Options{Node: b.node[0], Control: b.ctl, Directory: onePartition{}})
	for i := range others {
		go func() {
			failed := h.changeStored(t.Context(), meta.GroupConfig, []string{"group"}, func(_ string, configs map[string]string) { configs[fmt.Sprintf("key-%d", i)] = "1" })
			ended <- failed["group"]
		}()
	}
	for range others {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := b.ctl.Image().Configs(meta.GroupConfig, "group"); len(got) != others {
		t.Errorf("%d of %d changes are there: %v", len(got), others, got)
	}
}
