package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newRootCommand is regsync with all its commands.
func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "regsync",
		Short: "Copy and mirror container images between registries",
		Long: `regsync copies container images between registries, layouts and a local store. A tag
moves only after everything under it has arrived, and no byte is sent twice.

A reference is a name as Docker reads it (nginx, team/app:1.2, host:5000/a/b@sha256:…), or
oci:DIR[:TAG] for an OCI image layout, or store:NAME for the local store.`,
		Version:           buildVersion().Version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.ArbitraryArgs, // else the error has the words of cobra
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return prepare(a, cmd) },
		RunE:              runWithoutCommand,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	a.flags.bind(root.PersistentFlags(), a.storeDir(), a.stateDir())
	root.AddCommand(
		newConfigCommand(a),
		newCopyCommand(a),
		newDeleteCommand(a),
		newDiffCommand(a),
		newDigestCommand(a),
		newExplainCommand(a),
		newHistoryCommand(a),
		newImageCommand(a),
		newImagesCommand(a),
		newInspectCommand(a),
		newLoginCommand(a, func() (loginVerifier, error) { return a.client() }),
		newLogoutCommand(a),
		newPullCommand(a),
		newPushCommand(a),
		newReposCommand(a),
		newRmiCommand(a),
		newSyncCommand(a),
		newTagCommand(a),
		newTagsCommand(a),
		newVersionCommand(a),
	)
	registerCompletions(root, a)
	variablesHelp := "Each flag can also be set by an environment variable: --env-file by REGSYNC_ENV_FILE."
	root.SetUsageTemplate(root.UsageTemplate() + "\n" + variablesHelp + "\n\n" + exitCodesHelp + "\n")
	return root
}

// runWithoutCommand runs a command that only has subcommands: it prints the help, or refuses a word that is no subcommand.
func runWithoutCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	prefix := strings.TrimPrefix(cmd.CommandPath()+" ", cmd.Root().Name()+" ")
	similar := cmd.SuggestionsFor(args[0])
	for i, name := range similar {
		similar[i] = prefix + name
	}
	return &usageError{&unknownCommandError{name: prefix + args[0], similar: similar}}
}

// globals are the flags that all commands have.
type globals struct {
	config   []string
	output   string
	progress string
	quiet    bool
	verbose  bool
	state    string
	store    string
	envFile  string
}

// bind defines the flags. store and state are the default directories.
func (g *globals) bind(flags *pflag.FlagSet, store, state string) {
	flags.StringArrayVarP(&g.config, "config", "c", nil, "configuration `FILE`; may be repeated")
	flags.VarP(newChoice(&g.output, "text", "json"), "output", "o", "result on stdout as text or as one json document")
	flags.Var(newChoice(&g.progress, "auto", "plain", "json", "none"), "progress", "progress on stderr: auto, plain, json or none")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "print only errors, and warnings that need attention")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "log every request to stderr, without secrets")
	flags.StringVar(&g.state, "state", "", "`DIR` for what is remembered between runs"+byDefault(state))
	flags.StringVar(&g.store, "store", "", "`DIR` of the local store"+byDefault(store))
	flags.StringVar(&g.envFile, "env-file", "",
		"`FILE` of NAME=VALUE lines that adds to the variables of regsync and of the configuration, not HTTPS_PROXY")
}

// byDefault returns the end of a flag's description, with the default directory if there is one.
func byDefault(dir string) string {
	if dir == "" {
		return ""
	}
	return fmt.Sprintf(" (default %q)", dir)
}

// json reports whether the result is to be a JSON document.
func (g *globals) json() bool { return g.output == "json" }

// prepare completes the flags from the environment before a command runs.
func prepare(a *app, cmd *cobra.Command) error {
	if cmd.Name() == cobra.ShellCompRequestCmd { // what is to be completed is prepared by what completes it
		beginCompletion(a, cmd)
		return nil
	}
	a.patient = slices.Contains([]string{"copy", "diff", "sync"}, cmd.Name())
	a.unattended = cmd.Name() == "sync"
	if err := loadEnvFile(a, cmd.Flags().Lookup("env-file")); err != nil {
		return &usageError{err}
	}
	var errs []error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		name := variable(flag.Name)
		value := a.getenv(name)
		if value == "" || flag.Changed || flag.Name == "help" || flag.Name == "version" {
			return
		}
		err := cmd.Flags().Set(flag.Name, value)
		if err != nil && flag.Value.Type() == "bool" {
			err = fmt.Errorf("%q is neither true nor false", value)
		}
		if err != nil {
			errs = append(errs, &usageError{fmt.Errorf("environment variable %s: %w", name, err)})
		}
	})
	return errors.Join(errs...)
}

// variable is the environment variable of a flag: REGSYNC_ENV_FILE of --env-file.
func variable(flag string) string {
	return "REGSYNC_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// unknownCommandError is a word in the place of a command that is none.
type unknownCommandError struct {
	name    string
	similar []string
}

func (e *unknownCommandError) Error() string { return fmt.Sprintf("unknown command %q", e.name) }

// choice is a flag with a few allowed values; the first one is the default.
type choice struct {
	value   *string
	allowed []string
}

var _ pflag.Value = (*choice)(nil)

func newChoice(value *string, allowed ...string) *choice {
	*value = allowed[0]
	return &choice{value: value, allowed: allowed}
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return oneOf(c.allowed)
	}
	*c.value = s
	return nil
}

func oneOf(words []string) error { return fmt.Errorf("must be one of %s", strings.Join(words, ", ")) }

// versionInfo is what the binary knows about itself.
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
		RunE: func(*cobra.Command, []string) error { return printResult(a, buildVersion(), buildVersion().String()) },
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
