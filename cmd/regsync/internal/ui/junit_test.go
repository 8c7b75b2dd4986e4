package ui

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

func junitText(t *testing.T, r *report.Report) string {
	t.Helper()
	var out strings.Builder
	if err := WriteJUnit(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestJUnit(t *testing.T) {
	golden.File(t, "junit.xml", junitText(t, policyReport(t, report.Options{Entries: []string{"web", "app"}})))
}

// The sums of a suite are what its cases are, and the elements come in the order that the
// schema of Jenkins' xunit plugin wants: readers refuse others.
func TestJUnitIsWhatItsReadersWant(t *testing.T) {
	var suites junitSuites
	document := junitText(t, policyReport(t, report.Options{}))
	if err := xml.Unmarshal([]byte(document), &suites); err != nil {
		t.Fatal(err)
	}
	if got, want := suites.junitCounts, (junitCounts{Tests: 14, Failures: 2, Errors: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, suite := range suites.Suites {
		var sums junitSuite
		for _, c := range suite.Cases {
			sums.add(c)
		}
		if sums.junitCounts != suite.junitCounts || sums.Skipped != suite.Skipped {
			t.Errorf("%s: says %+v, %d skipped; has %+v, %d skipped", suite.Name, suite.junitCounts, suite.Skipped, sums.junitCounts, sums.Skipped)
		}
		if _, err := time.Parse("2006-01-02T15:04:05", suite.Timestamp); err != nil {
			t.Error(err)
		}
	}
	order := []string{"<properties>", "<testcase ", "<system-out>", "</testsuite>"}
	_, web, _ := strings.Cut(document, `<testsuite name="web"`)
	for i, element := range order[1:] {
		if before := strings.Index(web, order[i]); before < 0 || before > strings.Index(web, element) {
			t.Errorf("%s does not come before %s", order[i], element)
		}
	}
}

// Whatever a registry says, the document is well-formed, in UTF-8, and has no character
// that XML 1.0 forbids.
func TestJUnitOfForeignText(t *testing.T) {
	const evil = "]]>\x00\x1b[2J<&\"'\u0085\ufffe\xff\u202e\r\n日本"
	r := report.New("sync", time.Unix(0, 0), report.Options{
		Hints: func(error) string { return evil }, Text: func(warning.Warning) string { return evil },
	})
	r.Run.ID = evil
	r.Add(&transfer.Result{
		Job:      transfer.Job{Entry: evil, Source: reference.Reference{Transport: reference.Layout, Path: "./" + evil}},
		Warnings: []warning.Warning{{Err: errors.New(evil)}},
		Destinations: []transfer.DestinationResult{
			{Action: transfer.ActionNone, Err: &transfer.DeferredError{Reason: evil}},
			{Err: &transfer.Error{Side: transfer.SideSource, Err: &registryError{evil, evil, 500, evil}}},
			{Err: &transfer.Error{Side: transfer.SideDestination, Err: &registryError{evil, evil, 500, evil}}},
			{Action: transfer.ActionSkip, Rule: transfer.Rule{Kind: evil}},
		},
	})
	r.Finish(time.Unix(1, 0), &transfer.Counters{}, map[string]int64{evil: 1})
	r.Run.ExitCode = 1
	document := junitText(t, r)
	if !utf8.ValidString(document) {
		t.Error("it is not UTF-8")
	}
	for _, c := range document {
		if c < ' ' && c != '\n' && c != '\t' || c == '\ufffe' || c == 0x7f || c == '\u0085' {
			t.Errorf("it has the character %U", c)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(document))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestJUnitOfNothing(t *testing.T) {
	r := report.New("sync", time.Unix(0, 0), report.Options{})
	r.Finish(time.Unix(1, 0), &transfer.Counters{}, nil)
	const want = xml.Header + `<testsuites name="regsync" tests="0" failures="0" errors="0" time="1.000"></testsuites>` + "\n"
	if got := junitText(t, r); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
