package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestJSONLines(t *testing.T) {
	checkGolden(t, "events", show(t, JSON, Options{Images: 5, Hints: hintFor}))
}

func TestJSONLinesAreDocuments(t *testing.T) {
	for line := range strings.Lines(show(t, JSON, Options{})) {
		var document struct {
			Time  time.Time
			Event string
		}
		if err := json.Unmarshal([]byte(line), &document); err != nil || document.Event == "" || document.Time.IsZero() {
			t.Errorf("%s: event %q at %v, %v", line, document.Event, document.Time, err)
		}
	}
}
