package ui

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

var update = flag.Bool("update", false, "write testdata/*.golden from what is rendered now")

func TestMain(m *testing.M) {
	flag.Parse()
	time.Local = time.UTC
	runewidth.DefaultCondition.EastAsianWidth = false // whatever the locale
	os.Exit(m.Run())
}

// checkGolden compares got with testdata/NAME.golden.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update writes it anew\n--- got\n%s--- want\n%s", file, got, want)
	}
}
