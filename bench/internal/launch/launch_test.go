package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Argument {
		if err := Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	ballast := make([]byte, 256<<20) // must not count as memory of the commands
	for i := range ballast {
		ballast[i] = 1
	}
	usage, err := Run(t.Context(), Batch{
		Commands: [][]string{
			{"/bin/sh", "-c", "test \"$NAME\" = value && test \"$(pwd)\" = /"},
			{"/bin/sh", "-c", "echo the cause >&2; exit 3"},
			{"/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"},
			{"/does/not/exist"},
		},
		Parallel: 2, Dir: "/", Env: []string{"NAME=value"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if failures := strings.Join(usage.Failures, "\n"); len(usage.Failures) != 2 || !strings.Contains(failures, "exit status 3: the cause") ||
		!strings.Contains(failures, "/does/not/exist") {
		t.Errorf("failures: %q", usage.Failures)
	}
	if usage.CPU < 10*time.Millisecond || usage.Wall <= 0 {
		t.Errorf("time %s, processor time %s", usage.Wall, usage.CPU)
	}
	if usage.PeakMemory < 100<<10 || usage.PeakMemory > 64<<20 || usage.PeakTogether < usage.PeakMemory || usage.PeakTogether > 2*usage.PeakMemory {
		t.Errorf("memory: %d bytes, %d together", usage.PeakMemory, usage.PeakTogether)
	}
	if ballast[len(ballast)-1] == 0 {
		t.Error("the ballast is gone")
	}
}

func TestRunEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := Run(ctx, Batch{Commands: [][]string{{"/bin/sleep", "100"}}, Parallel: 1, Dir: "/"})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
