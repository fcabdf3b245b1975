// Package metalog keeps the cluster's metadata records in a bucket: a chain of epochs of one slot log, and snapshots of the image
// beside it. It creates the chain or takes it over, appends to it, rolls and trims it, and follows it.
//
//	meta/<epoch>/<slot>              records; slot 0 begins the epoch and says where the one before it ends
//	meta/snapshot/<epoch>-<slot>     the image after all of that slot
//	meta/place                       in a bucket whose slots are elsewhere: the cluster, and where
//
// The slots may be in another store than the bucket, one that answers faster (Options.Snapshots is the bucket then). Snapshots stay in the
// bucket: they are large, and it is a place to find them in when the other store is lost.
//
// # Taking over
//
//  1. Load: of the snapshots that a listing finds, the newest that verifies; then walk. Read the next slot; if it is empty or a seal,
//     look at slot 0 of the next epoch: there is none, then this is the tip; it names this very slot as the end, then go on in that
//     epoch; it names a later one, then slots were trimmed under us (or a stray seal lies there): load again.
//  2. Seal the tip's epoch from where the walk stopped, and walk to the seal.
//  3. Put slot 0 of the next epoch, which names the seal's position. Whoever gets it is the controller; who does not walks on from
//     where it is and tries again.
//
// A crash between any two steps leaves a chain that the next one can walk: a seal without a successor is found by the next sealer, a
// slot 0 that nobody answered for is an epoch like any other. In an empty bucket step 3 is all there is, with the record that creates
// the cluster in slot 0 of epoch 0, so of brokers that start at once one creates it and the others find it.
//
// # Invariants
//
//  1. An epoch ends where slot 0 of its successor says, not at the first seal: a challenger that slept may put a seal below.
//  2. A slot says how many records precede it; a reader applies it only to the image at that position.
//  3. One slot is in flight. An append is acknowledged only when it lies before whatever end a successor can name.
//  4. Snapshots hold acknowledged slots only. One counts when it was read back and is equal byte for byte.
//  5. Slots are deleted only below the second-newest snapshot that verifies, only in epochs whose successor's slot 0 exists, and never
//     slot 0 or a seal. So a walk that starts from any snapshot that is kept reaches the tip, and a writer of an old epoch, however
//     late, runs into a seal or into slot 0.
//  6. A listing finds snapshots to try and slots to delete; what it misses costs time, never truth.
//  7. A bucket whose log is elsewhere is marked with the cluster before the log is handed out, and no log is opened beside a mark of
//     another cluster, nor one created beside any mark or slot 0.
//  8. Nothing is written without a call that has something to write: an idle cluster writes nothing.
//
// Goroutines: none of its own that outlive a call, but for those of the slot log's writer while an append is in flight.
package metalog
