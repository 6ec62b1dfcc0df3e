package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"roomcast/infra/child"
)

// The smallest machine that Fly sells has a sixteenth of a core, in slices of 5 of each
// 80 ms once its small balance is spent, and 256 MB (fly.io/docs/machines/cpu-performance).
const (
	smallPeriod = 80 * time.Millisecond
	smallQuota  = 5 * time.Millisecond
	smallMemory = 256 << 20
)

// cgroup is a control group with limits, of version 1 or 2.
type cgroup struct {
	dirs []string // of version 1: cpu and memory apart
}

// newCgroup makes one with so much memory, and of the CPU quota each smallPeriod, all if
// that is 0; the error says why it cannot be had here.
func newCgroup(memoryLimit int, cpuQuota time.Duration) (*cgroup, error) {
	const root = "/sys/fs/cgroup"
	name := "roomcast-load-" + strconv.Itoa(os.Getpid())
	c := &cgroup{}
	period, most, quota := strconv.FormatInt(smallPeriod.Microseconds(), 10), strconv.Itoa(memoryLimit), ""
	if cpuQuota > 0 {
		quota = strconv.FormatInt(cpuQuota.Microseconds(), 10)
	}
	limits := map[string]string{}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		dir := filepath.Join(root, name)
		c.dirs = []string{dir}
		limits[dir+"/cpu.max"], limits[dir+"/memory.max"] = cmp.Or(quota, "max")+" "+period, most
	} else {
		cpu, memory := filepath.Join(root, "cpu", name), filepath.Join(root, "memory", name)
		c.dirs = []string{cpu, memory}
		limits[cpu+"/cpu.cfs_period_us"], limits[cpu+"/cpu.cfs_quota_us"] = period, cmp.Or(quota, "-1")
		limits[memory+"/memory.limit_in_bytes"] = most
	}
	for _, dir := range c.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, c.remove())
		}
	}
	for path, value := range limits {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return nil, errors.Join(err, c.remove())
		}
	}
	return c, nil
}

// hold puts a process in.
func (c *cgroup) hold(pid int) error {
	for _, dir := range c.dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// remove takes it away, once its processes have ended.
func (c *cgroup) remove() error {
	var faults []error
	for _, dir := range c.dirs {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// smallest: what the function can do on the smallest machine. Only the function is in
// it: Postgres, Pusher's stand-in and the clients have what else this machine has.
func smallest(ctx context.Context, l *lab, db *database) {
	l.limited("smallest machine (1/16 of a core, 256 MB)", smallMemory, smallQuota, func() {
		var peak int64
		l.smallStart(ctx, db)
		l.smallAuthorize(ctx, db, &peak)
		l.smallLatency(ctx, db, &peak)
		l.smallDrain(ctx, db, &peak)
		l.found(result{
			what:    "smallest machine: memory peak of all these",
			reached: mb(peak),
			target:  "< 48 MB",
			met:     peak > 0 && peak < 48_000_000,
			note:    "1/16 of a core (5 ms of each 80) and 256 MB, by a control group that holds the function alone.",
		})
	})
}

// limited starts the functions of do in a control group. Where none can be made, the table
// says so.
func (l *lab) limited(what string, memory int, cpuQuota time.Duration, do func()) {
	limits, err := newCgroup(memory, cpuQuota)
	if err != nil {
		l.found(result{what: what, reached: "not measured", note: "No control group can be made here: " + err.Error()})
		return
	}
	l.limits = limits
	err = attempt(do)
	l.limits = nil
	check(errors.Join(err, l.stopPrograms(), limits.remove()))
}

func (l *lab) smallStart(ctx context.Context, db *database) {
	least := l.binary(ctx, "infra/load/peers/serve")
	all := inTurns(l.pick(9, 3),
		func(int) time.Duration {
			return answerTime(func() *program { return l.function(ctx, "DATABASE_URL="+db.relay) })
		},
		func(int) time.Duration { return l.eventTime(ctx, db) },
		func(int) time.Duration {
			return answerTime(func() *program { return l.serve(ctx, "least server", nil, least) })
		})
	a, b := median(all[0]), median(all[1])
	l.found(result{
		what:    "smallest machine: exec to first 200; to first event accepted",
		reached: ms(a) + "; " + ms(b),
		target:  "25; 70 ms",
		met:     a <= 25*time.Millisecond && b <= 70*time.Millisecond,
		note:    fmt.Sprintf("The least net/http server, held by the same group, takes %s to its first 200.", ms(median(all[2]))),
	})
}

func (l *lab) smallAuthorize(ctx context.Context, db *database, peak *int64) {
	users := db.gather(ctx, l.pick(authUsers, authUsersFew), authRooms)
	defer users.keys.Close()
	var rates []float64
	var p99 time.Duration
	for _, requests := range [][][]byte{users.each, users.batched} {
		p := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
		s := &server{program: p}
		c := comparison{
			rounds: 1, conns: 16, length: time.Duration(l.pick(5, 1)) * time.Second,
			request: func(i int64) []byte { return requests[i%int64(len(requests))] },
		}
		c.run(ctx, s)
		rates = append(rates, s.rate())
		p99 = max(p99, quantile(s.latencies, 0.99))
		p.ends(peak)
	}
	each, batched := rates[0], rates[1]*roomsOfUser
	l.found(result{
		what:    "smallest machine: authorizations, one each; batched by 5",
		reached: fmt.Sprintf("%s/s; %s/s (p99 of a request %s)", count(each), count(batched), ms(p99)),
		target:  "800/s; 3,000/s",
		met:     each >= 800 && batched >= 3000,
		note:    "16 connections, every token new to the function.",
	})
}

func (l *lab) smallLatency(ctx context.Context, db *database, peak *int64) {
	p := l.awakeFunction(ctx, db)
	times := l.pace(ctx, db, poisson(l.pick(750, 100), 50, 7))
	p50, p99 := median(times), quantile(times, 0.99)
	l.found(result{
		what:    "smallest machine: commit acknowledged to accepted, 50/s Poisson",
		reached: fmt.Sprintf("p50 %s, p99 %s", ms(p50), ms(p99)),
		target:  "p50 ≤ 5 ms, p99 ≤ 25 ms",
		met:     p50 <= 5*time.Millisecond && p99 <= 25*time.Millisecond,
	})
	p.ends(peak)
}

func (l *lab) smallDrain(ctx context.Context, db *database, peak *int64) {
	d := l.drainRelay(ctx, db, work{rows: l.pick(30_000, 3000), rooms: backlogRooms, profile: "small"})
	l.sink.delay.Store(int64(callTime))
	defer l.sink.delay.Store(0)
	rows := l.pick(1000, 300)
	hot := l.drainRelay(ctx, db, work{rows: rows, rooms: 1})
	limit := l.oneInFlight(ctx, rows)
	*peak = max(*peak, d.peak, hot.peak)
	l.found(result{
		what:    "smallest machine: drain; hot room with 20 ms a call",
		reached: fmt.Sprintf("%s rows/s; %.2f of the limit of %s", count(d.rate), hot.rate/limit, count(limit)),
		target:  "9,000 rows/s; 0.9",
		met:     d.rate >= 9000 && hot.rate/limit >= 0.9,
	})
}

// ends stops a program and keeps the most memory that it held.
func (p *program) ends(peak *int64) {
	held, _ := child.PeakMemory(p.Cmd.Process.Pid)
	*peak = max(*peak, held)
	check(p.stop())
}
