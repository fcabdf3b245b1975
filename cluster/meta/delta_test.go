package meta

import (
	"maps"
	"testing"

	"sluice/base"
)

// chain returns so many images that follow each other, each of which creates a topic of so many partitions and opens them.
func chain(t *testing.T, images, partitions int) []*Image {
	t.Helper()
	img := grown(1, 0)
	node := currentNode(img)
	out := []*Image{img}
	for i := range images {
		d := img.Draft()
		id := base.UUID{9, byte(i), 1}
		for _, cmd := range []Command{&CreateTopics{Topics: []NewTopic{{Name: id.String(), Partitions: int32(partitions), ID: id}}}, openAll(node, id, partitions)} {
			if _, _, err := d.Execute(cmd, 1); err != nil {
				t.Fatal(err)
			}
		}
		img = d.Image()
		out = append(out, img)
	}
	return out
}

// An image knows what changed since each of the last ones, whether they were seen one by one or not, and says when it does not know.
func TestDeltaFromEarlierImages(t *testing.T) {
	imgs := chain(t, 2*deltasMax, 3)
	for to, img := range imgs {
		for from := range to {
			d := img.DeltaFrom(imgs[from])
			if known := to-from <= deltasMax; (d != nil) != known {
				t.Fatalf("from %d to %d: %+v", from, to, d)
			}
			if d == nil {
				continue
			}
			topics, parts := map[base.UUID]struct{}{}, map[PartitionID]struct{}{}
			for i := from; i < to; i++ {
				id := base.UUID{9, byte(i), 1}
				topics[id] = struct{}{}
				for p := range int32(3) {
					parts[PartitionID{id, p}] = struct{}{}
				}
			}
			if d.From != imgs[from].Pos() || d.To != img.Pos() || !maps.Equal(d.Topics, topics) || !maps.Equal(d.Partitions, parts) {
				t.Fatalf("from %d to %d: %+v", from, to, d)
			}
		}
		if img.DeltaFrom(img) != nil || img.DeltaFrom(nil) != nil {
			t.Fatal("a delta from nothing")
		}
	}
}

// What an image keeps of the past is bounded in items too, but the newest delta is always there.
func TestDeltasAreBounded(t *testing.T) {
	imgs := chain(t, 20, deltaItemsMax/4)
	last := imgs[20]
	if d := last.DeltaFrom(imgs[19]); d == nil || len(d.Partitions) != deltaItemsMax/4 {
		t.Fatalf("the newest delta: %+v", d)
	}
	if last.DeltaFrom(imgs[17]) == nil || last.DeltaFrom(imgs[10]) != nil {
		t.Fatal("kept too few or too many")
	}
	large := chain(t, 2, 2*deltaItemsMax)
	if large[2].DeltaFrom(large[1]) == nil || large[2].DeltaFrom(large[0]) != nil {
		t.Fatal("a large delta is not kept while it is the newest, or longer")
	}
}

// Images that are merged one after the other know how the first one began, however many they are.
func TestMergedImages(t *testing.T) {
	imgs := chain(t, 3*deltasMax, 1)
	m := imgs[1]
	for _, img := range imgs[2:] {
		m = img.MergedWith(m)
	}
	d := m.DeltaFrom(imgs[0])
	if d == nil || len(d.Topics) != 3*deltasMax || d.To != imgs[len(imgs)-1].Pos() {
		t.Fatalf("%+v", d)
	}
	if far := imgs[len(imgs)-1].MergedWith(imgs[1]); far.DeltaFrom(imgs[0]) != nil || far.DeltaFrom(imgs[len(imgs)-2]) == nil {
		t.Fatal("merged over a gap")
	}
}
