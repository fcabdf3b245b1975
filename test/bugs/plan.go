package main

import "sluice/base/seeded"

// The layers, from the cheapest to the dearest.
const (
	unit    = "unit"
	explore = "explore"
	sim     = "sim"
	crash   = "crash"
	cluster = "cluster"
)

var layers = []string{unit, explore, sim, crash, cluster}

// try is a run of one package's tests.
type try struct {
	layer string
	pkg   string // below the module's root
	run   string // of -test.run; empty: all
}

const (
	slotlog   = "storage/slotlog"
	partition = "broker/partition"
	txn       = "broker/txn"
	group     = "broker/group"
	clean     = "broker/clean"
	node      = "app/node"
)

// The explorers that run the code a mistake is in.
var (
	exploreSlots   = try{explore, slotlog, "EveryInterleaving"}
	exploreCluster = try{explore, "test/explore", "Cluster"}
	exploreToken   = try{explore, "storage/wal/file", "TokenRule"}
	exploreChain   = try{explore, "cluster/metalog", "Chain"}
)

// A crash, and a cluster under faults, each in both WAL classes.
var (
	crashes = try{crash, "test/crash", "TestKill|TestTransactions"}
	chaos   = try{cluster, "test/cluster", "TestChaos"}
)

func tests(pkg string) try { return try{unit, pkg, ""} }

// plan says which tests are tried for a mistake, apart from the simulation, which is tried for every one.
var plan = map[seeded.Name][]try{
	seeded.SkipSync:            {tests("storage/wal/file"), exploreToken, crashes, chaos},
	seeded.AckBeforeDurable:    {tests("storage/wal/s3"), crashes, chaos},
	seeded.SkipFenceRecheck:    {tests("storage/wal/file"), exploreToken, chaos},
	seeded.ExistsIsSuccess:     {tests(slotlog), exploreSlots, exploreChain, chaos},
	seeded.SealTakenIsSealed:   {tests(slotlog), exploreSlots, exploreChain, chaos},
	seeded.TrimOneTooFar:       {tests("storage/stream"), crashes, chaos},
	seeded.TrimBeforeCommit:    {{unit, "storage/stream", "TestStreamObject|TestLostAnswers|TestModel"}, crashes, chaos},
	seeded.HandOverUnchecked:   {tests("cluster/meta"), exploreCluster, chaos},
	seeded.GapAccepted:         {tests(partition), crashes, chaos},
	seeded.WindowOfFour:        {tests(partition), crashes, chaos},
	seeded.EpochUnchecked:      {tests(partition), chaos},
	seeded.LSOPlusOne:          {tests(partition), crashes, chaos},
	seeded.AbortedForgotten:    {tests(partition), crashes, chaos},
	seeded.VerdictFlipped:      {tests(txn), crashes, chaos},
	seeded.EndTxnTwice:         {tests(txn), chaos},
	seeded.TimeoutForgotten:    {tests(txn), chaos},
	seeded.GenerationUnchecked: {tests(group), chaos},
	seeded.OffsetsLost:         {tests(group), crashes, chaos},
	seeded.TwoOwners:           {tests(group), chaos},
	seeded.MissingIsEmpty:      {tests("storage/stream"), chaos},
	seeded.HWPastDurable:       {tests(partition), crashes, chaos},
	seeded.ServesAfterFence:    {tests("broker/fetch"), chaos},
	seeded.TellsAfterFence:     {tests("edge/handle"), chaos},
	seeded.NewestDropped:       {tests(clean)},
	seeded.TombstoneResurrects: {tests(clean)},
	seeded.WrongClock:          {tests(clean)},
	seeded.TrimForgotten:       {tests("storage/stream")},
	seeded.NoGrace:             {tests("cluster/control"), chaos},
	seeded.ObjectLeak:          {tests("cluster/control"), chaos},
	seeded.AnswersEarly:        {tests("cluster/control"), exploreChain, chaos},
	seeded.FencedCommits:       {tests("cluster/meta"), exploreCluster, chaos},
	seeded.LostWakeUp:          {tests(partition), chaos},
}
