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
)

// WriteJUnit writes the report as JUnit XML, as Jenkins and GitLab read it: a test suite for
// each entry, a test case for each tag at each destination. What failed is a failure; what
// was deferred is an error, because nobody knows how it would have ended; what a rule has
// skipped is skipped. The time of a case is that of its image, in seconds. It wants a report
// that has kept everything, see [ReportOptions].
func (r *Report) WriteJUnit(w io.Writer) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(r.junit()); err != nil {
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
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitSkipped `xml:"skipped"`
	Error   *junitTrouble `xml:"error"`
	Failure *junitTrouble `xml:"failure"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

type junitTrouble struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func (r *Report) junit() junitSuites {
	suites := junitSuites{Name: "regsync", Time: junitSeconds(r.Run.Ended.Sub(r.Run.Started).Seconds())}
	for items := range chunks(r.Items, func(a, b ReportItem) bool { return a.Entry == b.Entry }) {
		suite := r.junitSuite(items)
		suites.Tests += suite.Tests
		suites.Failures += suite.Failures
		suites.Errors += suite.Errors
		suites.Suites = append(suites.Suites, suite)
	}
	return suites
}

func (r *Report) junitSuite(items []ReportItem) junitSuite {
	// xs:dateTime without a zone is what the format's schema wants.
	const timestamp = "2006-01-02T15:04:05"
	suite := junitSuite{
		Name: cmp.Or(items[0].Entry, "regsync"), Timestamp: r.Run.Started.UTC().Format(timestamp),
		Properties: r.junitProperties(),
	}
	var seconds float64
	for _, item := range items {
		seconds += item.Seconds
		for _, to := range item.Destinations {
			suite.add(junitCaseOf(suite.Name, item, to))
		}
		for _, text := range item.Warnings {
			suite.Out += "warning: " + item.familiar + ": " + text + "\n"
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

func junitCaseOf(class string, item ReportItem, to ReportDestination) junitCase {
	c := junitCase{Class: class, Name: item.Source + arrow + to.Ref, Time: junitSeconds(item.Seconds)}
	switch to.Status {
	case StatusSkipped:
		c.Skipped = &junitSkipped{Message: to.Reason}
	case StatusDeferred:
		c.Error = &junitTrouble{Message: to.Reason, Type: string(StatusDeferred)}
	case StatusFailed:
		c.Failure = &junitTrouble{Message: to.Error.cause(), Type: to.Error.kind(), Text: to.Error.next()}
	}
	return c
}

// kind is the side, the status and the registry's word for it: "destination 403 DENIED".
func (p *Problem) kind() string {
	var words []string
	if p.Side != "" {
		words = append(words, string(p.Side))
	}
	if p.Status != 0 {
		words = append(words, strconv.Itoa(p.Status))
	}
	if p.Code != "" {
		words = append(words, p.Code)
	}
	return cmp.Or(strings.Join(words, " "), string(StatusFailed))
}

// next is the cause and below it the next step.
func (p *Problem) next() string {
	if p.Hint == "" {
		return p.cause()
	}
	return p.cause() + "\nhint: " + p.Hint
}

// junitProperties are those of the run. The format has a place for them in suites only.
func (r *Report) junitProperties() []junitProperty {
	properties := []junitProperty{
		{"run.id", Clean(r.Run.ID)},
		{"run.started", r.Run.Started.UTC().Format(time.RFC3339)},
		{"run.exitCode", strconv.Itoa(r.Run.ExitCode)},
		{"run.referrers", strconv.Itoa(r.Counts.Referrers)},
	}
	for _, p := range []struct {
		name  string
		bytes int64
	}{{"read", r.Bytes.Read}, {"sent", r.Bytes.Sent}, {"mounted", r.Bytes.Mounted}, {"skipped", r.Bytes.Skipped}} {
		properties = append(properties, junitProperty{"run.bytes." + p.name, strconv.FormatInt(p.bytes, 10)})
	}
	if r.NotBegun != nil {
		properties = append(properties, junitProperty{"run.notBegun", strconv.Itoa(r.NotBegun.Tags)})
	}
	for _, host := range slices.Sorted(maps.Keys(r.Requests)) {
		properties = append(properties, junitProperty{"run.requests." + Clean(host), strconv.FormatInt(r.Requests[host], 10)})
	}
	return properties
}

func junitSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
