package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

func readUndone(t *testing.T, document any) *report.Undone {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	undone, err := report.ReadUndone(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return undone
}

func TestReadUndone(t *testing.T) {
	failed := func(tag string, more ...string) report.Failed {
		return report.Failed{
			Entry: "app", Source: "docker.io/library/nginx:" + tag, Destinations: append([]string{"harbor.corp/web/nginx:" + tag}, more...),
		}
	}
	want := &report.Undone{
		// The destinations of gone have no error of their own: its source failed.
		Failed:     []report.Failed{failed("2"), failed("3"), failed("evil"), failed("gone", "quay.io/web/nginx:gone")},
		NotStarted: &report.NotStarted{Tags: 120, Entries: 1},
	}
	for _, changes := range []bool{false, true} {
		if got := readUndone(t, syncReport(t, report.Options{Changes: changes})); !reflect.DeepEqual(got, want) {
			t.Errorf("changes %v: got %+v, want %+v", changes, got, want)
		}
	}
}

// A repository whose tags cannot be listed has no tag that could be named: all of it is left.
func TestReadUndoneOfARepository(t *testing.T) {
	r := newReport("sync")
	job := transfer.Job{Entry: "web", Source: ref(t, "harbor.corp/team").WithoutIdentifier()}
	r.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{
		{Reference: ref(t, "quay.io/team").WithoutIdentifier(), Err: atSource(job.Source, content.ErrDenied)},
	}})
	r.Items = append(r.Items, report.Item{
		Entry: "all", Source: "harbor.corp/*", Destinations: []report.Destination{}, Error: report.NewProblem(errors.New("reset"), nil),
	})
	want := []report.Failed{
		{Entry: "web", Source: job.Source.String(), Destinations: []string{"quay.io/team"}},
		{Entry: "all", Source: "harbor.corp/*"},
	}
	if got := readUndone(t, r); !reflect.DeepEqual(got.Failed, want) {
		t.Errorf("got %+v, want %+v", got.Failed, want)
	}
}

// The first night after an update reads the report of the version before.
func TestReadUndoneOfVersion1(t *testing.T) {
	const items = `
	"run": {"id": "20000101T000000Z-0a1b2c", "started": "2000-01-01T00:00:00Z", "ended": "2000-01-01T00:00:03Z", "exitCode": 3},
	"counts": {"tags": 6, "images": 2, "copied": 1, "unchanged": 1, "notAsked": 0, "skipped": 1, "deferred": 1, "failed": 2, "referrers": 0},
	"notBegun": {"tags": 120, "entries": 3, "unlisted": true},
	"bytes": {"read": 1, "sent": 1, "mounted": 0, "skipped": 0}, "requests": {"docker.io": 12},
	"items": [
		{"entry": "app", "source": "docker.io/library/nginx:1", "seconds": 1.5, "destinations": [
			{"ref": "a.corp/nginx:1", "action": "unchanged", "status": "unchanged", "digest": "sha256:aa"},
			{"ref": "b.corp/nginx:1", "action": "none", "status": "failed", "error": {"side": "destination", "status": 403, "message": "no"}}]},
		{"entry": "app", "source": "docker.io/library/nginx:gone", "seconds": 1.5, "destinations": [
			{"ref": "a.corp/nginx:gone", "action": "none", "status": "failed", "error": {"side": "source", "message": "not found"}},
			{"ref": "b.corp/nginx:gone", "action": "none", "status": "deferred", "reason": "interrupted"}]},
		{"source": "docker.io/library/nginx:2", "seconds": 1.5, "warnings": ["careful"], "destinations": [
			{"ref": "a.corp/nginx:2", "action": "add", "status": "copied"}, {"ref": "b.corp/nginx:2", "action": "skip", "status": "skipped"}]}]}`
	want := &report.Undone{
		Failed: []report.Failed{
			{Entry: "app", Source: "docker.io/library/nginx:1", Destinations: []string{"b.corp/nginx:1"}},
			{Entry: "app", Source: "docker.io/library/nginx:gone", Destinations: []string{"a.corp/nginx:gone", "b.corp/nginx:gone"}},
		},
		NotStarted: &report.NotStarted{Tags: 120, Entries: 3, Unlisted: true},
	}
	for _, schema := range []string{"regsync.report/v1", "regsync.sync/v1"} {
		got, err := report.ReadUndone(strings.NewReader(`{"schema": "` + schema + `",` + items))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", schema, got, err, want)
		}
	}
}

// An empty list takes nothing; a nil one would take everything.
func TestReadUndoneOfACleanRun(t *testing.T) {
	got, err := report.ReadUndone(strings.NewReader(`{"schema": "regsync.report/v2", "command": "sync", "items": [
		{"source": "a.b/c:1", "destinations": [{"ref": "d.e/f:1", "status": "unchanged"}, {"ref": "d.e/f:2", "status": "kept"}], "added": "later"},
		{"source": "", "destinations": [], "warnings": [{"kind": "other", "text": "of an entry as a whole"}]}]}`))
	if err != nil || got.Failed == nil || len(got.Failed) != 0 || got.NotStarted != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

// All that is wrong is told at once, and safe to print; the texts are in testdata/texts.golden.
func TestReadUndoneRefuses(t *testing.T) {
	var said strings.Builder
	for _, document := range []string{
		``,
		`not json`,
		`[]`,
		`{}`,
		`{"schema": "regsync.plan/v1\u001b"}`,
		`{"schema": "regsync.report/v2", "command": "diff"}`, // what a run would do is not undone
		`{"schema": "regsync.report/v3", "command": "sync"}`,
		`{"schema": "regsync.sync/v1", "items": [{"destinations": [{"status": "failed"}, {"status": "lost\u009b"}]}, {"source": "a.b/c:1"},
			{"destinations": [], "error": {}}]} more`,
		`{"schema": "regsync.report/v2", "command": "sync", "items": [{"source": "a", "destinations": [{"ref": "b", "status": "pending"}]}]}`,
	} {
		_, err := report.ReadUndone(strings.NewReader(document))
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b") {
			t.Errorf("%q: got %q", document, err)
			continue
		}
		fmt.Fprintf(&said, "%s\n    %v\n", document, err)
	}
	golden.Text(t, said.String())
}

func FuzzReadUndone(f *testing.F) {
	f.Add([]byte(`{"schema": "regsync.report/v2", "command": "sync", "items": [{"source": "a.b/c:1", "destinations": [{"ref": "d.e/f:1", "status": "failed"}]}]}`))
	f.Add([]byte(`{"schema": "regsync.report/v2", "command": "sync", "notStarted": {"tags": 1}, "items": [{"source": "a.b/c", "error": {"message": "no"}}]}`))
	f.Add([]byte(`{"schema": "regsync.report/v1", "items": [{"source": "a.b/c:1", "destinations": [{"ref": "d.e/f:1", "status": "deferred"}]}]}`))
	f.Add([]byte(`{"schema": "regsync.sync/v1", "notBegun": {"tags": 1}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		undone, err := report.ReadUndone(bytes.NewReader(document))
		if err != nil {
			return
		}
		if !json.Valid(document) {
			t.Error("what is no JSON is taken")
		}
		if undone.Failed == nil {
			t.Error("nil takes everything")
		}
		for _, failed := range undone.Failed {
			if failed.Source == "" {
				t.Errorf("%+v has no source", failed)
			}
		}
	})
}
