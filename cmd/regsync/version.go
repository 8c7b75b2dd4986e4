package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what the binary knows of itself.
type versionInfo struct {
	Schema   string `json:"schema"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of regsync",
		Example: `  regsync version
  regsync version -o json`,
		Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if a.flags.json() {
				return a.printJSON(v)
			}
			_, err := fmt.Fprintln(a.Stdout, v)
			return err
		},
	}
}

func (v versionInfo) String() string {
	s := "regsync " + v.Version
	if v.Revision != "" {
		s += " (" + v.Revision + ")"
	}
	return s + " " + v.Go + " " + v.Platform
}

// buildVersion reads what the Go toolchain has recorded in the binary.
func buildVersion() versionInfo {
	v := versionInfo{
		Schema: "regsync.version/v1", Version: "(devel)",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}
