package ui

import (
	"errors"
	"strings"
	"testing"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/report"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	err := WriteTable(&out, []string{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"}, [][]string{
		{"nginx", "1.25", "0123456789ab", "3 weeks ago", "188MB"},
		{"registry.cn-hangzhou.aliyuncs.com/团队/应用", "latest", "ba9876543210", "2 hours ago", "5.5MB"},
		{"<none>", "", "aaaaaaaaaaaa", "", ""},
		{"evil\x1b[2J", "a\nb", "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasSuffix(line, " \n") {
			t.Errorf("%q ends in blanks", line)
		}
	}
	golden.File(t, "table", out.String())
}

func TestTableWithoutHeader(t *testing.T) {
	var out strings.Builder
	if err := WriteTable(&out, nil, [][]string{{"a", "b"}}); err != nil || out.String() != "a         b\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// full is a disk without space.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestResultsThatCannotBeWritten(t *testing.T) {
	run, plan := storyReports(t)
	for what, err := range map[string]error{
		"table":       WriteTable(full{}, []string{"A"}, nil),
		"report":      WriteReport(full{}, run, Changes, ""),
		"plan":        WriteReport(full{}, plan, Everything, ""),
		"JSON":        safe.WriteJSON(full{}, run),
		"JUnit":       WriteJUnit(full{}, run),
		"explanation": WriteExplanation(full{}, &report.Explanation{}, "m.yaml"),
	} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s: got %v, want %v", what, err, errFull)
		}
	}
}
