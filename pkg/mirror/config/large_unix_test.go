//go:build unix

package config_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// used is the time that processors have spent on this process: what others of a busy machine
// take does not count.
func used(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestLargeFilesEnd: files that no person wrote are read, or refused, in seconds.
func TestLargeFilesEnd(t *testing.T) {
	for name, text := range map[string]string{
		"one line of mistakes":   "version: 1\nsync: [" + strings.Repeat("a,", 1<<16) + "]\n",
		"one line of secrets":    "version: 1\nx: {" + strings.Repeat("password: x,", 1<<15) + "}\n",
		"lines of secrets":       strings.Repeat("password: 'x\n", 1<<15),
		"nested secrets":         nested("password:"),
		"many registries":        "version: 1\nregistries:\n" + numbered(1<<12, "  r%d.example: {}\n") + "sync: [{from: a, to: b}]\n",
		"many platforms":         "version: 1\nsync: [{from: a, to: b, platforms: [" + numbered(1<<14, "linux/a%d,") + "]}]\n",
		"many images and places": "version: 1\nsync: [{from: [" + numbered(1<<8, "a%d,") + "], to: [" + numbered(1<<4, "\"b%d.c/{{.Base}}\",") + "]}]\n",
		"larger than the limit":  strings.Repeat("#", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			before := used(t)
			if _, err := load(t, text); err != nil && len(err.Error()) > 1<<20 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if took := used(t) - before; took > 30*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// nested is a line at every indentation up to 1000.
func nested(line string) string {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Repeat(" ", i) + line + "\n")
	}
	return b.String()
}
