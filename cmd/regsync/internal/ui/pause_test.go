package ui

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
)

// showPause returns what a mode shows about a pause of 12 seconds that is over before the end.
func showPause(t *testing.T, mode Mode, options Options) string {
	t.Helper()
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		options.Env = noColor
		p := NewProgress(mode, &out, options)
		p.Paused(Pause{Registry: "registry.example", Until: time.Now().Add(12 * time.Second), Status: 429, Asked: true})
		time.Sleep(12 * time.Second)
		p.Paused(Pause{Registry: "registry.example"})
		time.Sleep(time.Second)
		p.Close()
		if p.Paused(Pause{Registry: "late"}) {
			t.Error("a pause was shown after the end")
		}
	})
	return out.String()
}

func TestPause(t *testing.T) {
	plain := showPause(t, Plain, Options{})
	if strings.Count(plain, "\n") != 1 {
		t.Errorf("plain: %q", plain)
	}
	golden.Text(t, plain+"with -v\n"+showPause(t, Plain, Options{Verbose: true}))
	events := showPause(t, JSON, Options{})
	for _, want := range []string{
		`"event":"pause","waitSeconds":12,"registry":"registry.example","code":429}`, `"event":"pause-over","registry":"registry.example"}`,
	} {
		if !strings.Contains(events, want) {
			t.Errorf("events: %s, want %s", events, want)
		}
	}
}

// On a terminal, a pause is counted down, and disappears when it is over.
func TestPauseOnATerminal(t *testing.T) {
	v := newVT(80, 24)
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Auto, v, Options{Env: noColor})
		p.Paused(Pause{Registry: "registry.example", Until: time.Now().Add(12 * time.Second), Status: 429, Asked: true})
		for _, test := range []struct {
			after time.Duration
			want  string
		}{
			{150 * time.Millisecond, "waiting 12 s"}, {5 * time.Second, "waiting 7 s"}, {8 * time.Second, ""},
		} {
			time.Sleep(test.after)
			synctest.Wait()
			shown := v.screen()
			if test.want == "" && strings.Contains(shown, "waiting") || !strings.Contains(shown, test.want) {
				t.Errorf("after %v more: %q, want %q", test.after, shown, test.want)
			}
		}
		p.Close()
	})
	v.check(t)
}
