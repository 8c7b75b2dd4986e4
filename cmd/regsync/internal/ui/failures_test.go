package ui

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// failing adds images that fail at one destination each, as fail says.
func failing(t *testing.T, r *report.Report, entry, host string, n int, fail func(i int, job transfer.Job) error) {
	t.Helper()
	s := &story{t: t}
	for i := range n {
		job := s.job(fmt.Sprintf("nginx:1.%d", i), fmt.Sprintf("%s/nginx:1.%d", host, i))
		job.Entry = entry
		r.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{
			{Reference: job.Destinations[0], Action: transfer.ActionAdd, Err: fail(i, job)},
		}})
	}
}

// at gives an error to the destination of each image.
func at(side transfer.Side, err error) func(int, transfer.Job) error {
	return func(_ int, job transfer.Job) error {
		to := job.Destinations[0]
		if side == transfer.SideSource {
			to = job.Source
		}
		return &transfer.Error{Side: side, Reference: to, Err: fmt.Errorf("PUT https://%s/v2/: %w", to.Name(), err)}
	}
}

// refused is an error of a connection; the last byte of the address is n.
func refused(n byte) error {
	return &net.OpError{
		Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, n), Port: 443}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED),
	}
}

func write(b *strings.Builder, failures []Failure) {
	for _, f := range failures {
		fmt.Fprintf(b, "%s: %s\n", f.Status, f.Text)
		for _, more := range []string{f.Names, f.Hint} {
			if more != "" {
				b.WriteString("  " + more + "\n")
			}
		}
	}
}

func hints(failures []Failure) (n int) {
	for _, f := range failures {
		if f.Hint != "" {
			n++
		}
	}
	return n
}

// A registry that was down filled a mail with two lines for each of 200 tags.
func TestOneCauseIsToldOnce(t *testing.T) {
	r := newReport("sync")
	failing(t, r, "web", "harbor.corp", 200, at(transfer.SideDestination, refused(1)))
	got := Failures(r, false, "all in the report")
	if len(got) != 1 || strings.Count(got[0].Names, ",") != namesOfGroup-1 {
		t.Fatalf("got %d failures: %+v", len(got), got)
	}
	var text strings.Builder
	write(&text, got)
	write(&text, Failures(r, false, ""))
	golden.File(t, "failures-one-cause", text.String())
	if got := Failures(r, true, ""); len(got) != 200 || got[199].Names != "" || got[199].Problem.Code != report.CodeConnectionRefused {
		t.Errorf("apart: got %d failures, the last %+v", len(got), got[len(got)-1])
	}
}

// The next step is told once, also where each failure is told.
func TestHintsAreToldOnce(t *testing.T) {
	r := newReport("sync")
	failing(t, r, "web", "a.corp", 5, at(transfer.SideDestination, errDenied))
	failing(t, r, "web", "b.corp", 5, at(transfer.SideSource, errDenied)) // another cause, the same step
	failing(t, r, "web", "c.corp", 5, at(transfer.SideSource, errReset))  // none is known
	for _, test := range []struct {
		apart    bool
		failures int
	}{{false, 2 + 5}, {true, 15}} {
		got := Failures(r, test.apart, "")
		if len(got) != test.failures || hints(got) != 1 || got[0].Hint == "" {
			t.Errorf("apart %v: %d failures with %d hints, want %d with the first", test.apart, len(got), hints(got), test.failures)
		}
	}
}

// The address of a host is told only if all tags failed there, those that are not named too.
func TestSharedAddress(t *testing.T) {
	for _, test := range []struct {
		other int // fails at another address; -1 is none
		want  bool
	}{{-1, true}, {1, false}, {4, false}} {
		r := newReport("sync")
		failing(t, r, "web", "harbor.corp", 5, func(i int, job transfer.Job) error {
			err := refused(1)
			if i == test.other {
				err = refused(2)
			}
			return at(transfer.SideDestination, err)(i, job)
		})
		got := Failures(r, false, "")
		if len(got) != 1 || strings.Contains(got[0].Text, "10.0.0.1:443") != test.want || strings.Contains(got[0].Text, "10.0.0.2") {
			t.Errorf("tag %d fails elsewhere: got %+v", test.other, got)
		}
	}
}

// A run with 6 causes at 16 destinations told 16 failures.
func TestSixCauses(t *testing.T) {
	r := newReport("sync", "web", "db")
	s := &story{t: t}
	gone := s.job("ghost:0", "harbor.corp/ghost:0")
	result := &transfer.Result{Job: gone}
	for i := range 6 { // the first cause, at 6 destinations
		result.Destinations = append(result.Destinations, transfer.DestinationResult{
			Reference: ref(t, fmt.Sprintf("r%d.corp/ghost:0", i)), Err: at(transfer.SideSource, content.ErrNotFound)(0, gone),
		})
	}
	r.Add(result)
	failing(t, r, "web", "harbor.corp", 3, at(transfer.SideDestination, refused(1)))
	failing(t, r, "db", "quay.io", 2, at(transfer.SideDestination, errDenied))
	failing(t, r, "web", "quay.io/web", 1, at(transfer.SideDestination, errDenied)) // of another entry
	failing(t, r, "db", "b.corp", 2, at(transfer.SideSource, &registryError{"docker.io", "TOOMANYREQUESTS", http.StatusTooManyRequests, "429"}))
	failing(t, r, "db", "c.corp", 1, at(transfer.SideDestination, syscall.ENOSPC))
	failing(t, r, "db", "c.corp", 1, at(transfer.SideDestination, context.DeadlineExceeded))
	got := Failures(r, false, "")
	if len(got) != 6 {
		t.Errorf("got %d failures, want 6", len(got))
	}
	var text strings.Builder
	write(&text, got)
	golden.File(t, "failures-six-causes", text.String())
}

// A failure of one tag is told whole, with the URL; what it is about is named once.
func TestTextsOfFailures(t *testing.T) {
	var text strings.Builder
	tell := func(story string, add func(*report.Report)) []Failure {
		r := newReport("sync", "web", "db")
		add(r)
		got := Failures(r, false, "")
		fmt.Fprintf(&text, "== %s\n", story)
		write(&text, got)
		return got
	}
	deferred := func(int, transfer.Job) error { return &transfer.DeferredError{Reason: "the run is ending"} }
	for _, n := range []int{1, 2} {
		tell(fmt.Sprintf("tags: %d", n), func(r *report.Report) {
			failing(t, r, "web", "harbor.corp", n, at(transfer.SideDestination, errDenied))
		})
		tell(fmt.Sprintf("tags of no entry: %d", n), func(r *report.Report) { failing(t, r, "", "harbor.corp", n, at(transfer.SideDestination, errDenied)) })
		tell(fmt.Sprintf("sources: %d", n), func(r *report.Report) {
			failing(t, r, "web", "harbor.corp", n, at(transfer.SideSource, content.ErrNotFound))
		})
		tell(fmt.Sprintf("deferred: %d", n), func(r *report.Report) { failing(t, r, "web", "harbor.corp", n, deferred) })
		tell(fmt.Sprintf("deferred, of no entry: %d", n), func(r *report.Report) { failing(t, r, "", "harbor.corp", n, deferred) })
	}
	apart := newReport("sync")
	failing(t, apart, "web", "harbor.corp", 2, deferred)
	text.WriteString("== deferred, apart\n") // it was not told which tags
	write(&text, Failures(apart, true, ""))
	tell("deferred, of two entries", func(r *report.Report) {
		failing(t, r, "web", "harbor.corp", 2, deferred)
		failing(t, r, "db", "quay.io", 1, deferred)
	})
	// The host may exist: only the text of the error tells the cause, and it is the same for all tags.
	misbehaving := &registryError{host: "harbor.corp", reason: "lookup harbor.corp: server misbehaving"}
	if got := tell("a cause without a code", func(r *report.Report) {
		failing(t, r, "web", "harbor.corp", 5, at(transfer.SideDestination, misbehaving))
	}); len(got) != 1 {
		t.Errorf("got %d failures, want 1", len(got))
	}
	if got := tell("errors that have nothing in common", func(r *report.Report) {
		failing(t, r, "web", "harbor.corp", 2, func(i int, _ transfer.Job) error { return fmt.Errorf("failure %d", i) })
	}); len(got) != 2 {
		t.Errorf("got %d failures, want 2", len(got))
	}
	tell("text of a server", func(r *report.Report) {
		evil := &registryError{"harbor.corp\x1b[2J", "E\x1b", 500, "500\r\n\x1b[2J"}
		failing(t, r, "web\x1b[2J", "harbor.corp", 2, at(transfer.SideDestination, evil))
		failing(t, r, "web\x1b[2J", "harbor.corp", 1, func(int, transfer.Job) error { return errors.New("no\r\n\x1b[2J") })
	})
	for _, counts := range []report.Counts{
		{Tags: 16}, {Tags: 16, Deferred: 2}, {Tags: 16, Failed: 13}, {Tags: 16, Failed: 13, Deferred: 2},
	} {
		text.WriteString("outcome: " + Outcome(counts) + "\n")
	}
	golden.File(t, "failures", text.String())
}

// Each code has words; those of a registry's answer come from the registry.
func TestTextsOfCauses(t *testing.T) {
	var text strings.Builder
	for _, code := range []string{
		report.CodeConnectionRefused, report.CodeConnectionClosed, report.CodeUnreachable, report.CodeUnknownHost, report.CodeTimeout,
		report.CodeCertificate, report.CodeNotTLS, report.CodeNoSpace, report.CodeReadOnly, report.CodeNotFound, report.CodeUnauthorized,
		report.CodeDenied, report.CodeUnsupported, report.CodeInvalid, report.CodeMismatch, report.CodeNoPlatform,
	} {
		got := causeText(&report.Problem{Cause: report.Cause{Code: code}, Message: "the message"})
		if got == "the message" || strings.Contains(got, code) {
			t.Errorf("%s has no words", code)
		}
		text.WriteString(code + ": " + got + "\n")
	}
	for _, p := range []report.Problem{
		{Cause: report.Cause{Status: 403, Code: "DENIED"}, Reason: "403 Forbidden: DENIED: robot may not push", Message: "the message"},
		{Cause: report.Cause{Status: 418, Code: "TEAPOT"}, Message: "the message"},
		{Message: "the message"},
	} {
		fmt.Fprintf(&text, "%d %s: %s\n", p.Status, p.Code, causeText(&p))
	}
	golden.File(t, "causes", text.String())
}

// A rule is told once, also where what it found at each tag is another: `overwrite: newer` has two dates for each, and
// filled a report with hundreds of lines every night.
func TestOneRuleIsToldOnce(t *testing.T) {
	s := &story{t: t}
	run, plan := newReport("sync"), newReport("plan")
	for i := 1; i <= 4; i++ {
		job := s.job(fmt.Sprintf("nginx:1.%d", i), fmt.Sprintf("a.corp/nginx:1.%d", i))
		rule := transfer.Rule{Kind: transfer.RuleNewer, Found: transfer.Found{
			SourceCreated: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), DestinationCreated: time.Date(2025, 1, i, 0, 0, 0, 0, time.UTC),
		}}
		run.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{{
			Reference: job.Destinations[0], Action: transfer.ActionSkip, Rule: rule,
		}}})
		plan.AddPlan(&transfer.Plan{Job: job, Destinations: []transfer.DestinationPlan{{
			Reference: job.Destinations[0], Action: transfer.ActionSkip, Rule: rule,
		}}}, nil)
	}
	var text strings.Builder
	for _, r := range []*report.Report{run, plan} {
		r.Finish(time.Unix(1, 0), nil, nil)
		for detail, lines := range map[Detail]int{Summary: 1, Changes: 1, Everything: 4} {
			if got := strings.Count(textOf(t, r, detail), "skipped") - 1; got != lines { // one is in the sums
				t.Errorf("%s, detail %v: %d lines, want %d", r.Command, detail, got, lines)
			}
		}
		text.WriteString(textOf(t, r, Changes) + textOf(t, r, Everything))
	}
	golden.File(t, "rule-groups", text.String())
}

// Two limits are two rules, also where they look the same.
func TestGroupsOfLimits(t *testing.T) {
	g := groups{index: map[groupKey]*group{}}
	for size, limit := range []int64{5_000_000_000, 5_000_000_001, 5_000_000_000} {
		rule := transfer.Rule{Kind: transfer.RuleMaxSize, Limit: limit, Found: transfer.Found{Size: 6_000_000_000 + int64(size)}}
		g.add(member{status: report.StatusSkipped, rule: report.RuleOf(rule)})
	}
	if len(g.list) != 2 || g.list[0].count != 2 || g.list[1].count != 1 {
		t.Errorf("got %d groups, want 2", len(g.list))
	}
}

// Tags that wait for a source which could not be listed, or that another entry writes, are told by cause: each error names
// its tag, so that the text cannot be what they have in common.
func TestCausesOfTheMirrorAreGrouped(t *testing.T) {
	r := report.New("sync", time.Unix(0, 0), report.Options{})
	for i := range 12 {
		image := ref(t, fmt.Sprint("a.corp/app:", i))
		job := transfer.Job{Entry: "web", Source: image}
		for _, err := range []error{
			&mirror.UndecidedError{Destination: image, Source: image, Unlisted: ref(t, "b.corp/lost:1"), Entry: "lost"},
			&mirror.CollisionError{Destination: image, Source: image, First: image, Entry: "first"},
		} {
			r.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{{Reference: image, Action: transfer.ActionNone, Err: err}}})
		}
	}
	if got := Failures(r, false, ""); len(got) != 2 {
		t.Errorf("got %d causes, want 2: %+v", len(got), got)
	}
}
