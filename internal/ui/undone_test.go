package ui

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/mirror"
)

func TestReadUndone(t *testing.T) {
	want := mirror.Retry{}
	for _, tag := range []string{"2", "3", "evil", "gone"} {
		want = append(want, mirror.Failed{
			Entry: "app", Source: "docker.io/library/nginx:" + tag, Destinations: []string{"harbor.corp:5443/web/nginx:" + tag},
		})
	}
	report := policyStory(t, ReportOptions{})
	for name, write := range map[string]func(*bytes.Buffer) error{
		"report": func(b *bytes.Buffer) error { return report.WriteJSON(b) },
		"sync":   func(b *bytes.Buffer) error { return report.WriteResult(b, SyncSchema) },
	} {
		var document bytes.Buffer
		if err := write(&document); err != nil {
			t.Fatal(err)
		}
		got, err := ReadUndone(&document)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got.Failed, want) {
			t.Errorf("%s: got %+v, want %+v", name, got.Failed, want)
		}
		if got.NotBegun == nil || got.NotBegun.Tags != 120 {
			t.Errorf("%s: not begun: %v", name, got.NotBegun)
		}
	}
}

// An empty retry takes nothing; a nil one would take everything.
func TestReadUndoneOfACleanRun(t *testing.T) {
	got, err := ReadUndone(strings.NewReader(`{"schema": "regsync.report/v1", "items": [
		{"source": "a.b/c:1", "destinations": [{"ref": "d.e/f:1", "status": "unchanged"}], "seconds": 1, "added": "later"},
		{"source": "", "destinations": [], "warnings": ["of an entry as a whole"], "seconds": 0}]}`))
	if err != nil || got.Failed == nil || len(got.Failed) != 0 || got.NotBegun != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReadUndoneRefuses(t *testing.T) {
	for _, test := range []struct{ document, want string }{
		{``, "this is no report: EOF"},
		{`not json`, "this is no report: invalid character 'o' in literal null (expecting 'u')"},
		{`[]`, "this is no report: json: cannot unmarshal array into Go value of type ui.Report"},
		{`{}`, `its schema is ""; a report of sync has regsync.report/v1 or regsync.sync/v1`},
		{`{"schema": "regsync.plan/v1\u001b"}`, `its schema is "regsync.plan/v1\\x1b"; a report of sync has regsync.report/v1 or regsync.sync/v1`},
		{
			`{"schema": "regsync.sync/v1", "items": [{"destinations": [{"status": "failed"}, {"status": "lost"}]}, {"source": "a.b/c:1"}]} more`,
			"something follows the report\nitems[0].destinations[0] has no ref\n" +
				`items[0].destinations[1] has the status "lost", which is unknown` + "\nitems[0] has no source",
		},
	} {
		_, err := ReadUndone(strings.NewReader(test.document))
		if err == nil {
			t.Errorf("%q is taken", test.document)
		} else if got := err.Error(); got != test.want {
			t.Errorf("%q: got %q, want %q", test.document, got, test.want)
		}
	}
}

func FuzzReadUndone(f *testing.F) {
	f.Add([]byte(`{"schema": "regsync.report/v1", "items": [{"source": "a.b/c:1", "destinations": [{"ref": "d.e/f:1", "status": "failed"}]}]}`))
	f.Add([]byte(`{"schema": "regsync.sync/v1", "notBegun": {"tags": 1}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		undone, err := ReadUndone(bytes.NewReader(document))
		if err != nil {
			return
		}
		if !json.Valid(document) {
			t.Error("what is no JSON is taken")
		}
		for _, failed := range undone.Failed {
			if failed.Source == "" || len(failed.Destinations) == 0 {
				t.Errorf("%+v says nothing", failed)
			}
		}
	})
}
