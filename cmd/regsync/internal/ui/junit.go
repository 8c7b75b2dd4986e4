package ui

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/report"
)

// WriteJUnit writes a report as JUnit XML, as Jenkins and GitLab read it: a test suite for each entry, a test case
// for each tag at each destination. What was deferred is an error, and not a failure. The time of a case is that of its
// image, in seconds. The report must have kept everything, see [report.Options].
func WriteJUnit(w io.Writer, r *report.Report) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(junit(r)); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Time   string       `xml:"time,attr"`
	Suites []junitSuite `xml:"testsuite"`
}

// junitCounts are attributes. Failures and errors are apart in this format.
type junitCounts struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
}

type junitSuite struct {
	Name string `xml:"name,attr"`
	junitCounts
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
	Out        string          `xml:"system-out,omitempty"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Skipped *junitReason `xml:"skipped"`
	Error   *junitReason `xml:"error"`
	Failure *junitReason `xml:"failure"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"` // not of skipped
	Text    string `xml:",chardata"`
}

func junit(r *report.Report) junitSuites {
	suites := junitSuites{Name: "regsync", Time: junitSeconds(r.Run.Ended.Sub(r.Run.Started).Seconds())}
	for entry, items := range byEntry(r) {
		if len(items) > 0 {
			suite := junitSuiteOf(r, entry.Name, items)
			suites.Tests += suite.Tests
			suites.Failures += suite.Failures
			suites.Errors += suite.Errors
			suites.Suites = append(suites.Suites, suite)
		}
	}
	return suites
}

func junitSuiteOf(r *report.Report, entry string, items []*report.Item) junitSuite {
	// xs:dateTime without a zone is what the format's schema wants.
	const timestamp = "2006-01-02T15:04:05"
	suite := junitSuite{
		Name: cmp.Or(safe.Clean(entry), "regsync"), Timestamp: r.Run.Started.UTC().Format(timestamp), Properties: junitProperties(r),
	}
	var seconds float64
	for _, item := range items {
		seconds += item.Seconds
		if item.Error != nil {
			suite.add(junitCase{
				Class: suite.Name, Name: safe.Clean(item.Source), Time: junitSeconds(item.Seconds), Failure: junitFailure(item.Error),
			})
		}
		for i := range item.Destinations {
			if to := &item.Destinations[i]; to.Status != report.StatusFailed || to.Error != nil {
				c := junitCase{Class: suite.Name, Name: safe.Clean(item.Source) + arrow + safe.Clean(to.Ref), Time: junitSeconds(item.Seconds)}
				switch to.Status {
				case report.StatusSkipped:
					c.Skipped = &junitReason{Message: ruleText(to.Rule)}
				case report.StatusDeferred:
					c.Error = &junitReason{Message: safe.Clean(to.Error.Message), Type: string(report.StatusDeferred)}
				case report.StatusFailed:
					c.Failure = junitFailure(to.Error)
				}
				suite.add(c)
			}
		}
		for _, w := range item.Warnings {
			suite.Out += "warning: " + safe.Clean(item.Image.Familiar()) + ": " + safe.Clean(w.Text) + "\n"
		}
	}
	suite.Time = junitSeconds(seconds)
	return suite
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	switch {
	case c.Skipped != nil:
		s.Skipped++
	case c.Error != nil:
		s.Errors++
	case c.Failure != nil:
		s.Failures++
	}
	s.Cases = append(s.Cases, c)
}

// junitFailure has as its type the side, the status and the code: "destination 403 DENIED".
func junitFailure(p *report.Problem) *junitReason {
	kind := []string{string(p.Side)}
	if p.Status != 0 {
		kind = append(kind, strconv.Itoa(p.Status))
	}
	kind = slices.DeleteFunc(append(kind, safe.Clean(p.Code)), func(word string) bool { return word == "" })
	message := safe.Clean(p.Message)
	failure := &junitReason{Message: message, Type: cmp.Or(strings.Join(kind, " "), string(report.StatusFailed)), Text: message}
	if p.Hint != "" {
		failure.Text += "\nhint: " + safe.Clean(p.Hint)
	}
	return failure
}

// junitProperties are those of the run. The format has a place for them in suites only.
func junitProperties(r *report.Report) []junitProperty {
	properties := []junitProperty{
		{"run.id", safe.Clean(r.Run.ID)},
		{"run.started", r.Run.Started.UTC().Format(time.RFC3339)},
		{"run.exitCode", strconv.Itoa(r.Run.ExitCode)},
		{"run.referrers", strconv.Itoa(r.Counts.Referrers)},
		{"run.bytes.read", strconv.FormatInt(r.Bytes.Read, 10)},
		{"run.bytes.sent", strconv.FormatInt(r.Bytes.Sent, 10)},
		{"run.bytes.mounted", strconv.FormatInt(r.Bytes.Mounted, 10)},
		{"run.bytes.skipped", strconv.FormatInt(r.Bytes.Skipped, 10)},
	}
	if r.NotStarted != nil {
		properties = append(properties, junitProperty{"run.notStarted", strconv.Itoa(r.NotStarted.Tags)})
	}
	for _, host := range slices.Sorted(maps.Keys(r.Requests)) {
		properties = append(properties, junitProperty{"run.requests." + safe.Clean(host), strconv.FormatInt(r.Requests[host], 10)})
	}
	return properties
}

func junitSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
