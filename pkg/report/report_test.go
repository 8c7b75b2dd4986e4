package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// checkGolden compares a document with testdata/NAME.golden.
func checkGolden(t *testing.T, name string, document any) {
	t.Helper()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	golden.File(t, name, got.String())
}

// answerError has what the errors of a registry say by their methods.
type answerError struct {
	host   string
	status int
	code   string
	reason string
}

func (e *answerError) Error() string {
	return e.host + ": " + e.reason
}
func (e *answerError) RequestURL() string   { return "https://" + e.host + "/v2/app/manifests/1" }
func (e *answerError) RegistryHost() string { return e.host }
func (e *answerError) HTTPStatus() int      { return e.status }
func (e *answerError) ErrorCode() string    { return e.code }
func (e *answerError) Reason() string       { return e.reason }

func (e *answerError) Is(target error) bool {
	return target == content.ErrDenied && e.status == http.StatusForbidden
}

var errDenied = &answerError{"auth.harbor.corp", http.StatusForbidden, "DENIED", "403 Forbidden: DENIED: robot may not push"}

func hintFor(err error) string {
	if errors.Is(err, content.ErrDenied) {
		return "regsync login harbor.corp"
	}
	return ""
}

func warningText(w warning.Warning) string { return fmt.Sprint("about ", w.Kind) }

func ref(t testing.TB, s string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func atSource(r reference.Reference, err error) error {
	return &transfer.Error{Side: transfer.SideSource, Reference: r, Err: err}
}

func atDestination(r reference.Reference, err error) error {
	return &transfer.Error{Side: transfer.SideDestination, Reference: r, Err: err}
}

func manifest(n int) digest.Digest { return digest.FromString(fmt.Sprint("manifest ", n)) }

func blob(n int, size int64) content.Descriptor {
	return content.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint("blob ", n)), Size: size}
}

func jobOf(t testing.TB, entry, source string, destinations ...string) transfer.Job {
	t.Helper()
	job := transfer.Job{Entry: entry, Source: ref(t, source)}
	for _, to := range destinations {
		job.Destinations = append(job.Destinations, ref(t, to))
	}
	return job
}

// resultOf is the result of a job, one element for each of its destinations.
func resultOf(job transfer.Job, destinations ...transfer.DestinationResult) *transfer.Result {
	for i := range destinations {
		destinations[i].Reference = job.Destinations[i]
	}
	return &transfer.Result{Job: job, Digest: manifest(1), Destinations: destinations, Elapsed: 1500*time.Millisecond + 1}
}

// planOf is the plan of a job, one element for each of its destinations.
func planOf(job transfer.Job, destinations ...transfer.DestinationPlan) *transfer.Plan {
	for i := range destinations {
		destinations[i].Reference = job.Destinations[i]
	}
	image := content.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: manifest(1), Size: 1234}
	return &transfer.Plan{Job: job, Source: image, Image: image, Destinations: destinations}
}

func newReport(command string) *report.Report {
	return report.New(command, time.Time{}, report.Options{})
}

// syncReport is a run in which tags end in each way, and which ends early.
func syncReport(t testing.TB, options report.Options) *report.Report {
	t.Helper()
	options.Hints, options.Text = hintFor, warningText
	r := report.New("sync", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), options)
	r.Run.ID = "20000101T000000Z-0a1b2c"
	add := func(entry, tag string, d transfer.DestinationResult, warnings ...warning.Warning) {
		result := resultOf(jobOf(t, entry, "nginx:"+tag, "harbor.corp/web/nginx:"+tag), d)
		result.Warnings = warnings
		r.Add(result)
	}
	for i := range 2 {
		add("web", fmt.Sprint("1.", i), transfer.DestinationResult{
			Action: transfer.ActionSkip, Previous: manifest(2), Rule: transfer.Rule{Kind: transfer.RuleNever},
		})
	}
	add("web", "big", transfer.DestinationResult{Action: transfer.ActionSkip, Rule: transfer.Rule{
		Kind: transfer.RuleMaxSize, Limit: 5e9, Found: transfer.Found{Size: 12e9},
	}})
	add("web", "old", transfer.DestinationResult{Action: transfer.ActionKeep, Digest: manifest(4)})
	add("web", "latest", transfer.DestinationResult{Action: transfer.ActionAdd, Digest: manifest(1), Referrers: 2, Refused: 1},
		warning.Warning{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}},
		warning.Warning{Err: errors.New("careful")})
	add("web", "stable", transfer.DestinationResult{Action: transfer.ActionMove, Digest: manifest(1), Previous: manifest(2)})
	add("app", "1", transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(3)})
	add("app", "3", transfer.DestinationResult{Action: transfer.ActionAdd, Err: context.Canceled})
	add("app", "2", transfer.DestinationResult{Action: transfer.ActionAdd, Err: &transfer.DeferredError{Reason: "the run is ending"}})
	add("app", "evil", transfer.DestinationResult{Action: transfer.ActionNone, Err: atDestination(ref(t, "harbor.corp/x:1"), errDenied)})
	gone := jobOf(t, "app", "nginx:gone", "harbor.corp/web/nginx:gone", "quay.io/web/nginx:gone")
	failed := transfer.DestinationResult{Action: transfer.ActionNone, Err: atSource(gone.Source, content.ErrNotFound)}
	r.Add(resultOf(gone, failed, failed))
	r.NotStart("", 120, false)
	var counters transfer.Counters
	counters.Read.Store(52_347_178)
	counters.Reread.Store(12_345_678)
	counters.Sent.Store(52_347_178)
	counters.Mounted.Store(3_401_500)
	counters.Skipped.Store(600)
	r.Finish(r.Run.Started.Add(3*time.Second), &counters, map[string]int64{"harbor.corp": 40, "docker.io": 12})
	r.Run.ExitCode = 3
	r.LimitedBy = "harbor.corp: maxConnections"
	return r
}

func TestDocumentOfARun(t *testing.T) {
	r := syncReport(t, report.Options{Entries: []string{"web", "app", "none"}})
	checkGolden(t, "sync.json", r)
	want := report.Counts{
		Tags: 11, Images: 3, Copied: 2, Add: 1, Move: 1, Unchanged: 1, Kept: 1, Skipped: 3, Deferred: 2, Failed: 2, Denied: 1, Referrers: 2, NotAccepted: 1,
	}
	if r.Counts != want {
		t.Errorf("got %+v, want %+v", r.Counts, want)
	}
}

// planReport has a second destination that needs a blob of the same registry, which counts once, one that may not be
// written to, rules, a warning, and images that cannot be planned.
func planReport(t testing.TB, command string) *report.Report {
	t.Helper()
	created := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	r := report.New(command, time.Unix(0, 0).UTC(), report.Options{Hints: hintFor, Text: warningText, Entries: []string{"web", "other"}})
	r.Run.ID = "1"
	big := blob(1, 40e6)
	r.AddPlan(planOf(jobOf(t, "web", "nginx:1", "harbor.corp/web/nginx:1"),
		transfer.DestinationPlan{Action: transfer.ActionAdd, Blobs: []content.Descriptor{big, blob(2, 500)}}), nil)
	second := planOf(jobOf(t, "other", "nginx:1", "harbor.corp/other/web:1", "localhost:5000/web:1"),
		transfer.DestinationPlan{Action: transfer.ActionMove, Previous: manifest(2), Blobs: []content.Descriptor{big}, Referrers: 1},
		transfer.DestinationPlan{Action: transfer.ActionNone, Err: atDestination(ref(t, "localhost:5000/web:1"), errDenied)})
	second.Warnings = []warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}}}
	r.AddPlan(second, nil)
	r.AddPlan(planOf(jobOf(t, "other", "nginx:2", "harbor.corp/other/web:2", "harbor.corp/other/web:3"),
		transfer.DestinationPlan{Action: transfer.ActionUnchanged, Rule: transfer.Rule{Kind: transfer.RuleCopied}},
		transfer.DestinationPlan{Action: transfer.ActionSkip, Rule: transfer.Rule{Kind: transfer.RuleNewer, Found: transfer.Found{
			SourceCreated: created, DestinationCreated: created.AddDate(1, 0, 0),
		}}}), nil)
	r.AddPlan(&transfer.Plan{Job: jobOf(t, "web", "ghost:0")}, atSource(ref(t, "ghost:0"), content.ErrNotFound))
	r.AddPlan(&transfer.Plan{}, errors.New("list the tags of ghost"))
	r.Finish(time.Unix(1, 0).UTC(), nil, nil)
	r.Run.ExitCode = 3
	return r
}

func TestDocumentOfAPlan(t *testing.T) {
	plan := planReport(t, "plan")
	checkGolden(t, "plan.json", plan)
	want := report.Counts{Tags: 7, Add: 1, Move: 1, Unchanged: 1, Immutable: 1, Skipped: 1, Failed: 3, Denied: 1, Referrers: 1}
	if plan.Counts != want {
		t.Errorf("got %+v, want %+v", plan.Counts, want)
	}
	if plan.Bytes.Planned != 40e6+500 {
		t.Errorf("%d bytes are planned, want those of both blobs once", plan.Bytes.Planned)
	}
	// A diff is the same document of another command.
	if diff := planReport(t, "diff"); diff.Command != "diff" || !diff.IsPlan() || diff.Counts != plan.Counts {
		t.Errorf("%s, a plan: %v, %+v", diff.Command, diff.IsPlan(), diff.Counts)
	}
}

// A reader of a document need not tell null from an empty list or object.
func TestDocumentOfNothing(t *testing.T) {
	r := newReport("sync")
	r.Finish(time.Time{}, nil, nil)
	if r.Items == nil || r.Requests == nil {
		t.Errorf("items %v, requests %v", r.Items, r.Requests)
	}
	if r.Bytes != (report.Bytes{}) || r.Counts != (report.Counts{}) {
		t.Errorf("bytes %+v, counts %+v", r.Bytes, r.Counts)
	}
}

// The report of a nightly run of 10,000 tags that are up to date stays small: they are counted only.
func TestReportOfChanges(t *testing.T) {
	all, changes := syncReport(t, report.Options{}), syncReport(t, report.Options{Changes: true})
	if got, want := len(changes.Items), len(all.Items)-1; got != want {
		t.Errorf("%d items, want %d: what is unchanged is counted only", got, want)
	}
	if changes.Counts != all.Counts {
		t.Errorf("got %+v, want %+v", changes.Counts, all.Counts)
	}
	plan := report.New("diff", time.Time{}, report.Options{Changes: true})
	unchanged := transfer.DestinationPlan{Action: transfer.ActionUnchanged}
	for i := range 100 {
		plan.AddPlan(planOf(jobOf(t, "web", "nginx:1", fmt.Sprint("harbor.corp/nginx:", i)), unchanged), nil)
	}
	if e := plan.Entries[0]; len(plan.Items) != 0 || e.Counts.Unchanged != 100 || plan.Counts.Unchanged != 100 {
		t.Errorf("%d items, %+v, %+v", len(plan.Items), e.Counts, plan.Counts)
	}
	// A signature that was made after its image was copied is all that a run has to do.
	unchanged.Referrers = 2
	plan.AddPlan(planOf(jobOf(t, "web", "nginx:1", "harbor.corp/nginx:signed"), unchanged), nil)
	if len(plan.Items) != 1 || !plan.Counts.Pending() || plan.Counts.Referrers != 2 || plan.Entries[0].Counts.Referrers != 2 {
		t.Errorf("%d items, %+v, %+v", len(plan.Items), plan.Counts, plan.Entries[0].Counts)
	}
	// A selection that fits no tag has neither a tag nor a destination, but something to say.
	plan.AddPlan(&transfer.Plan{Job: jobOf(t, "web", "ghost"), Warnings: []warning.Warning{{Err: errors.New("no tags")}}}, nil)
	plan.AddPlan(&transfer.Plan{Job: jobOf(t, "other", "ghost"), Warnings: []warning.Warning{{Err: errors.New("no tags")}}}, nil)
	if len(plan.Items) != 3 || plan.Counts.Tags != 101 || len(plan.Entries) != 2 {
		t.Errorf("%d items, %+v, entries %+v", len(plan.Items), plan.Counts, plan.Entries)
	}
}

// Entries run at the same time: their images are in the order of the configuration all the same, and by source. Other
// entries follow.
func TestOrderOfItems(t *testing.T) {
	for _, test := range []struct{ names, want []string }{
		{nil, []string{"web", "app"}},
		{[]string{"web"}, []string{"web", "app"}},
		{[]string{"app", "web"}, []string{"app", "web"}},
		{[]string{"x", "app"}, []string{"app", "web"}},
	} {
		r := syncReport(t, report.Options{Entries: test.names})
		var entries []string
		for i, item := range r.Items {
			entries = append(entries, item.Entry)
			if i > 0 && r.Items[i-1].Entry == item.Entry && r.Items[i-1].Source > item.Source {
				t.Errorf("%s is before %s", r.Items[i-1].Source, item.Source)
			}
		}
		if got := slices.Compact(entries); !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v, want %v", test.names, got, test.want)
		}
	}
}

// The clock of a machine that has just started is set while the run goes on.
func TestEndIsTheTimeThatHasPassed(t *testing.T) {
	started := time.Now()
	r := report.New("sync", started, report.Options{})
	ended := started.Add(2 * time.Second) // with the monotonic clock of started
	r.Run.Started = started.Round(0).Add(-time.Hour)
	r.Finish(ended, nil, nil)
	if got := r.Run.Ended.Sub(r.Run.Started); got != time.Hour+2*time.Second {
		t.Errorf("without a monotonic clock: the run took %v", got)
	}
	r = report.New("sync", started, report.Options{})
	if r.Finish(ended, nil, nil); r.Run.Ended.Sub(r.Run.Started) != 2*time.Second {
		t.Errorf("the run took %v, want 2s", r.Run.Ended.Sub(r.Run.Started))
	}
}

func TestRuleOf(t *testing.T) {
	if got := report.RuleOf(transfer.Rule{}); got != nil {
		t.Errorf("of no rule: %+v", got)
	}
	if got := report.RuleOf(transfer.Rule{Kind: transfer.RuleNever}); got == nil || got.Found != nil || got.Limit != 0 || got.Kind != transfer.RuleNever {
		t.Errorf("without what was found: %+v", got)
	}
	got := report.RuleOf(transfer.Rule{Kind: transfer.RuleMaxSize, Limit: 5, Found: transfer.Found{Size: 6}})
	if got.Limit != 5 || got.Found.Size != 6 || got.Found.SourceCreated != nil || got.Found.DestinationCreated != nil {
		t.Errorf("of a size: %+v, %+v", got, got.Found)
	}
	source, destination := time.Unix(1, 0), time.Unix(2, 0)
	got = report.RuleOf(transfer.Rule{Kind: transfer.RuleNewer, Found: transfer.Found{SourceCreated: source, DestinationCreated: destination}})
	if !got.Found.SourceCreated.Equal(source) || !got.Found.DestinationCreated.Equal(destination) || got.Found.Size != 0 {
		t.Errorf("of two times: %+v", got.Found)
	}
}

// BenchmarkReportUnchanged measures what a tag with nothing to do costs a report: B/op is bytes for each.
func BenchmarkReportUnchanged(b *testing.B) {
	for _, changes := range []bool{true, false} {
		b.Run(fmt.Sprintf("changes=%v", changes), func(b *testing.B) {
			results := make([]*transfer.Result, b.N)
			for i := range results {
				job := jobOf(b, "web", fmt.Sprint("nginx:1.", i), fmt.Sprint("harbor.corp/web/nginx:1.", i))
				results[i] = resultOf(job, transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(i)})
			}
			b.ReportAllocs()
			b.ResetTimer()
			r := report.New("sync", time.Time{}, report.Options{Changes: changes})
			for _, result := range results {
				r.Add(result)
			}
		})
	}
}
