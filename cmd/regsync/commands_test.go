package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/flagvalue"
)

// TestEveryCommandIsDescribed: commands have a description and an example, those of the root a group, and flags a text.
func TestEveryCommandIsDescribed(t *testing.T) {
	root := newRootCommand(newApp(Environment{LookupEnv: func(string) (string, bool) { return "", false }}))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	groups := map[string]bool{}
	for _, group := range root.Groups() {
		groups[group.ID] = true
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short description is %q", path, cmd.Short)
		}
		if cmd.Example == "" && !strings.HasPrefix(path, "regsync completion") { // cobra's have them in their descriptions
			t.Errorf("%s has no example", path)
		}
		if cmd.Parent() == root && !groups[cmd.GroupID] {
			t.Errorf("%s is in the group %q, which does not exist", path, cmd.GroupID)
		}
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Usage == "" {
				t.Errorf("%s --%s has no description", path, flag.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// TestHelpHasOwnFlagsOnly: what all commands share is in the help of the root command, and nowhere else.
func TestHelpHasOwnFlagsOnly(t *testing.T) {
	root := newRootCommand(newApp(Environment{LookupEnv: func(string) (string, bool) { return "", false }}))
	help := func(cmd *cobra.Command) string {
		var text strings.Builder
		writeHelp(cmd, &text)
		return text.String()
	}
	shared := 0
	root.PersistentFlags().VisitAll(func(flag *pflag.Flag) {
		shared++
		if !strings.Contains(help(root), " --"+flag.Name+" ") {
			t.Errorf("regsync --help does not list --%s", flag.Name)
		}
	})
	if shared < 10 {
		t.Errorf("only %d flags are shared", shared)
	}
	for _, cmd := range root.Commands() {
		_, flags, ok := strings.Cut(help(cmd), "\nFlags:\n")
		if !ok {
			continue
		}
		root.PersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if strings.Contains(flags, " --"+flag.Name+" ") {
				t.Errorf("%s lists --%s, which all commands have", cmd.CommandPath(), flag.Name)
			}
		})
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Name != "help" && !strings.Contains(flags, " --"+flag.Name+" ") {
				t.Errorf("%s does not list --%s", cmd.CommandPath(), flag.Name)
			}
		})
	}
}

func TestDurationFlag(t *testing.T) {
	for text, want := range map[string]string{"0": "0s", "90s": "1m30s", "1h": "1h", "1d": "24h", "1h30m": "1h30m", "2w": "336h", "1.5h": "1h30m"} {
		d := flagvalue.NewDuration(new(time.Duration), time.Hour)
		if err := d.Set(text); err != nil || d.String() != want {
			t.Errorf("%s: got %s and %v, want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "-1s", "1", "1y", "soon"} {
		if err := flagvalue.NewDuration(new(time.Duration), 0).Set(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
