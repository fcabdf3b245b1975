// Package hostile attacks a real broker process, one attack after the other, while honest clients work, and looks at what becomes of its
// memory, of the honest clients, and of the attackers' connections.
//
// A [victim] is one broker with a small memory setting and three listeners: plain text, logins, TLS. The honest clients produce and read what
// they produced, come anew and ask for the topic, and log in. An attack goes on until they have done their share of work, however long that takes,
// up to a limit; so what is demanded of them is progress and not speed. Latencies are reported, not judged.
//
// Demanded of every attack:
//
//  1. Honest clients of each kind complete their share while it goes on, and what is read is what was produced.
//  2. The most memory the process ever had resident stays below its setting, plus the largest request, plus what a process takes that does nothing.
//  3. Attackers get the error or the end of their connection that is due.
//  4. Afterwards open files and goroutines are back to where they were before.
//
// SLUICE_HOSTILE_ONLY is a regular expression of the attacks to make, all by default. SLUICE_HOSTILE=long has every attack last 20 s, and adds those that wait for time-outs; otherwise an attack is over when the honest clients have
// done their share, and there are fewer attackers.
package hostile
