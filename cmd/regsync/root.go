package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/flagvalue"
	"github.com/regsync/regsync/pkg/report"
)

// newRootCommand is regsync with all its commands.
func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "regsync",
		Short: "Copy and mirror container images between registries",
		Long: `regsync copies container images between registries, OCI image layouts and a local store.
A tag is set only after all of its content has been copied. Blobs that already exist at the
destination are not sent.

Images are named as in Docker: nginx, team/app:1.2, host:5000/a/b@sha256:…
oci:DIR[:TAG] names an image in an OCI image layout, store:NAME an image in the local store.`,
		Example: `  regsync copy nginx:1.29 registry.example/team/nginx:1.29
  regsync sync regsync.yaml`,
		Version:           buildVersion().Version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.ArbitraryArgs, // else the error has the words of cobra
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return prepare(a, cmd) },
		RunE:              runWithoutCommand,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd, cmd.OutOrStdout()) })
	a.flags.bind(root.PersistentFlags(), a.storeDir(), a.stateDir(), a.defaultConfigPath())
	addGroup(root, "Images",
		newCopyCommand(a), newHistoryCommand(a), newImageCommand(a), newImagesCommand(a), newInspectCommand(a), newPullCommand(a), newPushCommand(a),
		newRmiCommand(a), newTagCommand(a))
	addGroup(root, "Registry", newDeleteCommand(a), newDigestCommand(a), newReposCommand(a), newTagsCommand(a))
	addGroup(root, "Mirror", newConfigCommand(a), newDiffCommand(a), newExplainCommand(a), newSyncCommand(a))
	addGroup(root, "Credentials", newLoginCommand(a, func() (loginVerifier, error) { return a.client() }), newLogoutCommand(a))
	const other = "Other"
	addGroup(root, other, newVersionCommand(a))
	root.SetCompletionCommandGroupID(other)
	checkCompletionCommand(a, root)
	help := newHelpCommand()
	help.GroupID = other
	root.SetHelpCommand(help)
	registerCompletions(root, a)
	return root
}

// checkCompletionCommand makes cobra's command completion refuse other words than its shells, and arguments behind them. The
// scripts are a part of how shells start.
func checkCompletionCommand(a *app, root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, runWithoutCommand
			declare(a, cmd, traits{robust: true})
			for _, shell := range cmd.Commands() {
				shell.Args = arguments(0, 0)
				declare(a, shell, traits{robust: true})
			}
		}
	}
}

// traits are what a command declares where it is built, for what all commands share.
type traits struct {
	patient    bool   // waits minutes for a registry that is down
	unattended bool   // a whole mirror run: it waits as long for a registry that has not answered yet, and reports what it did not start
	robust     bool   // works with flags and variables that are wrong
	document   string // the name in the schema of its JSON document; empty: the words of the command
	report     bool   // its JSON document is a report
	dryRun     *bool  // of --dry-run, nil without the flag: whether that report is a plan
}

// declare sets the traits of a command.
func declare(a *app, cmd *cobra.Command, t traits) *cobra.Command {
	a.traits[cmd] = t
	return cmd
}

// addGroup adds commands under a heading of the help.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title + ":"})
	for _, cmd := range commands {
		cmd.GroupID = title
	}
	root.AddCommand(commands...)
}

// runWithoutCommand runs a command that only has subcommands: it prints the help, or refuses a word that is no subcommand.
func runWithoutCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

// printFailure prints the JSON document of a command that failed before it had printed one. A usage error has none.
func printFailure(a *app, cmd *cobra.Command, err error) error {
	if a.printed || !a.flags.json() || onlyDifferent(err) || exitCode(err) == exitUsage {
		return nil
	}
	t := a.traits[cmd]
	name := cmp.Or(t.document, strings.ReplaceAll(strings.TrimPrefix(cmd.CommandPath(), "regsync "), " ", "-"))
	if t.report {
		plans := t.dryRun != nil && *t.dryRun
		if plans {
			name = "plan"
		}
		r := a.newReport(name, nil, false)
		if t.unattended && !plans {
			r.NotStart("", 0, true)
		}
		r.Finish(time.Now(), nil, nil)
		r.Run.ExitCode = exitCode(err)
		return a.printReport(r, err)
	}
	return a.printJSON(struct {
		Schema string          `json:"schema"`
		Error  *report.Problem `json:"error"`
	}{"regsync." + name + "/v1", a.problemOf(err)})
}

// globals are the flags that all commands have.
type globals struct {
	config    []string
	output    string
	progress  string
	quiet     bool
	verbose   bool
	debug     bool
	plainHTTP []string
	insecure  []string
	tlsOnly   []string // hosts that the command line names with https://
	state     string
	store     string
	envFile   string
}

// bind defines the flags. store, state and config are the default locations.
func (g *globals) bind(flags *pflag.FlagSet, store, state, config string) {
	if config != "" {
		config = fmt.Sprintf(" (default %q, which may contain only registries)", config)
	}
	flags.StringArrayVarP(&g.config, "config", "c", nil, "read the configuration from `FILE`; may be repeated"+config)
	flags.VarP(flagvalue.NewChoice(&g.output, "text", "json"), "output", "o", "print the result as `FORMAT`: text or json")
	flags.Var(flagvalue.NewChoice(&g.progress, "auto", "plain", "json", "none"), "progress", "show the progress on stderr in `MODE`: auto, plain, json or none")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "print only errors, and warnings that need attention")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "print more of the result, such as images that are up to date")
	flags.BoolVar(&g.debug, "debug", false, "log requests to stderr, without secrets")
	flags.Var(flagvalue.NewHosts(&g.plainHTTP), "plain-http", "use plain HTTP for the registry `HOST`; may be repeated")
	flags.Var(flagvalue.NewHosts(&g.insecure), "insecure", "do not verify the certificate of the registry `HOST`; may be repeated")
	flags.StringVar(&g.state, "state", "", "keep data between runs in `DIR`"+byDefault(state))
	flags.StringVar(&g.store, "store", "", "use the local store in `DIR`"+byDefault(store))
	flags.StringVar(&g.envFile, "env-file", "",
		"read variables for regsync and its configuration from `FILE` (one NAME=VALUE per line); HTTPS_PROXY must be set in the environment instead")
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
	if cmd.Name() == cobra.ShellCompRequestCmd { // [completer.words] calls prepare for the command that is completed
		beginCompletion(a, cmd)
		return nil
	}
	a.command = a.traits[cmd]
	if err := loadEnvFile(a, cmd.Flags().Lookup("env-file")); err != nil && !a.command.robust {
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
		hint := ""
		if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			hint, err = valueProblem(invalid)
		}
		if err != nil {
			errs = append(errs, usageWithHint(fmt.Errorf("environment variable %s: %w", name, err), hint))
		}
	})
	errs = append(errs, checkHosts(cmd, "plain-http", a.flags.plainHTTP), checkHosts(cmd, "insecure", a.flags.insecure))
	for _, host := range a.flags.plainHTTP {
		if slices.Contains(a.flags.insecure, host) {
			errs = append(errs, usagef("--plain-http and --insecure both name %s", host))
		}
	}
	if err := errors.Join(errs...); err != nil && !a.command.robust {
		return err
	}
	return nil
}

// checkHosts finds a flag that was written as if it took no HOST: --insecure tags REPOSITORY.
func checkHosts(cmd *cobra.Command, flag string, hosts []string) error {
	for _, host := range hosts {
		var problem string
		switch {
		case host == "true" || host == "false":
			problem = fmt.Sprintf("%q is not a host", host)
		case slices.ContainsFunc(cmd.Root().Commands(), func(sub *cobra.Command) bool { return sub.Name() == host }):
			problem = fmt.Sprintf("%q is a command, not a host", host)
		default:
			continue
		}
		return usageWithHint(fmt.Errorf("--%s: %s", flag, problem), fmt.Sprintf("--%s takes a HOST: --%s HOST", flag, flag))
	}
	return nil
}

// variable is the environment variable of a flag: REGSYNC_ENV_FILE of --env-file.
func variable(flag string) string {
	return "REGSYNC_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

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
	return declare(a, &cobra.Command{
		Use:   "version",
		Short: "Print the version of regsync",
		Example: `  regsync version
  regsync version -o json`,
		Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error { return printResult(a, buildVersion(), buildVersion().String()) },
	}, traits{robust: true})
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
