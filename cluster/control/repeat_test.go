package control

import (
	"context"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/mem"
)

// createAndLose has b create a topic, and when that is done, and before b is told, something else happens and the answer is lost.
func createAndLose(t *testing.T, a, b *process, topic string, meanwhile func()) (*meta.TopicsCreated, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lost := func() {
		a.until(topic+" is created", func(img *meta.Image) bool { _, ok := img.TopicByName(topic); return ok })
		meanwhile()
	}
	b.answer.Store(&lost)
	return Do[meta.TopicsCreated](ctx, b.m, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: topic, Partitions: 1}}})
}

func (p *process) deleteTopic(topic string) {
	res, err := Do[meta.TopicsDeleted](p.t.Context(), p.m, &meta.DeleteTopics{Topics: []meta.TopicRef{{Name: topic}}})
	if err != nil || res.Topics[0].Err != nil {
		p.t.Errorf("delete %s: %v %+v", topic, err, res)
	}
}

// TestCreationIsNotRepeatedAfterDeletion: a topic whose creation was not answered, and that somebody has deleted since, is not created again behind his back.
func TestCreationIsNotRepeatedAfterDeletion(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := mem.New()
		a := join(t, store, time.Minute)
		b := join(t, store, time.Minute)
		a.create("other")
		b.until("b knows it", func(img *meta.Image) bool { return img.TopicCount() == 1 })

		res, err := createAndLose(t, a, b, "kept", func() {})
		if err != nil || res.Topics[0].Err != nil {
			t.Fatalf("a creation whose answer is lost: %v %+v", err, res)
		}
		res, err = createAndLose(t, a, b, "kept-too", func() { a.deleteTopic("other") })
		if err != nil || res.Topics[0].Err != nil {
			t.Fatalf("a creation whose answer is lost, while another topic is deleted: %v %+v", err, res)
		}
		_, err = createAndLose(t, a, b, "gone", func() { a.deleteTopic("gone") })
		if !base.IsKind(err, base.Undetermined) {
			t.Errorf("a creation that was undone: %v, want that it may have happened", err)
		}
		for name, want := range map[string]bool{"kept": true, "kept-too": true, "gone": false} {
			if _, ok := a.m.Image().TopicByName(name); ok != want {
				t.Errorf("%s is there: %v, want %v", name, ok, want)
			}
		}
	})
}
