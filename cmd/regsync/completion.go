package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/flagvalue"
	"github.com/regsync/regsync/cmd/regsync/internal/tagcache"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// completionLimit is how long words are searched for; the shell and its user wait. A search that has not ended then, such as
// one that stops a credential helper, gets completionGrace to do so.
const (
	completionLimit = 1500 * time.Millisecond
	completionGrace = 200 * time.Millisecond
)

// completer completes the words of a command line for a shell.
type completer struct {
	app   *app
	limit time.Duration
}

// beginCompletion silences a command line that a shell asks to complete: it does not prompt and prints only the words.
func beginCompletion(a *app, cmd *cobra.Command) {
	a.Stdin, a.Stdout, a.Stderr = strings.NewReader(""), io.Discard, io.Discard
	cmd.Root().SetErr(io.Discard)
	unquoteUsages(cmd.Root())
}

// unquoteUsages removes from the descriptions of flags the quotes around the name of the value, which cobra would show.
func unquoteUsages(cmd *cobra.Command) {
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(flag *pflag.Flag) { _, flag.Usage = pflag.UnquoteUsage(flag) })
	}
	for _, child := range cmd.Commands() {
		unquoteUsages(child)
	}
}

// registerCompletions sets how the arguments and flags of all commands are completed. What it does not name is not completed.
func registerCompletions(root *cobra.Command, a *app) {
	c := completer{a, completionLimit}
	files := cobra.CompletionFunc(nil) // as shells do
	arguments := map[string]cobra.CompletionFunc{
		"check": files, "diff": files, "sync": files,
		"copy":    c.words(-1, copied),
		"delete":  c.words(-1, remoteImages),
		"digest":  c.words(1, remoteImages),
		"explain": c.words(-1, explained),
		"history": c.words(1, storedNames),
		"images":  c.words(1, storedRepositories),
		"inspect": c.words(-1, inspected),
		"login":   c.words(1, hosts),
		"logout":  c.words(1, logins),
		"pull":    c.words(1, remoteImages),
		"push":    c.words(1, pushed),
		"repos":   c.words(1, hosts),
		"rmi":     c.words(-1, storedNames),
		"tag":     c.words(1, storedNames),
		"tags":    c.words(1, storedRepositories),
	}
	values := map[string]cobra.CompletionFunc{
		"config": files, "env-file": files, "failed-only": files, "report": files,
		"plain-http": c.words(-1, hosts), "insecure": c.words(-1, hosts),
		"only":      c.words(-1, entries),
		"platform":  c.words(-1, platforms),
		"referrers": cobra.FixedCompletions(referrersValues(), cobra.ShellCompDirectiveNoFileComp),
		"state":     directories,
		"store":     directories,
	}
	flag := func(cmd *cobra.Command, flag *pflag.Flag) {
		complete, known := values[flag.Name]
		if flag.Name == formatName {
			complete = cobra.FixedCompletions(formatWords(flag), cobra.ShellCompDirectiveNoFileComp)
		} else if choice, ok := flag.Value.(*flagvalue.Choice); ok {
			complete = cobra.FixedCompletions(choice.Allowed(), cobra.ShellCompDirectiveNoFileComp)
		} else if !known {
			complete = cobra.NoFileCompletions
		}
		if complete != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag.Name, complete) // it fails only for an unknown flag
		}
	}
	var register func(cmd *cobra.Command)
	register = func(cmd *cobra.Command) {
		complete, known := arguments[cmp.Or(a.traits[cmd].document, cmd.Name())]
		if !known {
			complete = cobra.NoFileCompletions
		}
		cmd.ValidArgsFunction = complete
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { flag(cmd, f) })
		for _, child := range cmd.Commands() {
			register(child)
		}
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { flag(root, f) })
	register(root)
}

// directories lets the shell complete the name of a directory.
func directories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// request is a word to complete.
type request struct {
	app  *app // that prints nothing, for this request alone
	cmd  *cobra.Command
	args []string // before the word
	word string
}

// candidates returns words that may be meant. Those that do not begin as the word does are left out later. open says that
// a word may go on.
type candidates func(ctx context.Context, r request) (words []string, open bool)

// words completes the first most arguments, or all if most is negative.
func (c completer) words(most int, find candidates) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if most >= 0 && len(args) >= most || prepare(c.app, cmd) != nil {
			return nil, directive
		}
		found, open := c.find(cmd, args, word, find)
		if open {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return slices.DeleteFunc(found, func(candidate string) bool {
			return !strings.HasPrefix(candidate, word) || slices.Contains(args, candidate)
		}), directive
	}
}

// find returns what find finds within the limit. It waits a little for a search to end that is over the limit, and then no
// longer: the process ends after this. A search that panics has found nothing.
func (c completer) find(cmd *cobra.Command, args []string, word string, find candidates) (words []string, open bool) {
	type answer struct {
		words []string
		open  bool
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.limit)
	defer cancel()
	quiet := newApp(c.app.Environment)
	quiet.flags, quiet.completing = c.app.flags, true
	answers := make(chan answer, 1)
	go func() {
		var found answer
		defer func() {
			if recover() != nil {
				found = answer{}
			}
			answers <- found
		}()
		found.words, found.open = find(ctx, request{quiet, cmd, args, word})
		_ = quiet.close() // nothing was written
	}()
	select {
	case found := <-answers:
		return found.words, found.open
	case <-ctx.Done():
	}
	select {
	case <-answers:
	case <-time.After(completionGrace):
	}
	return nil, false
}

// storedNames are the images in the local store: their names, and their IDs if the word begins as one.
func storedNames(ctx context.Context, r request) (words []string, open bool) {
	images, err := storedImages(ctx, r.app)
	if err != nil {
		return nil, false
	}
	for _, image := range images {
		if !image.Reference.IsZero() {
			words = append(words, image.Reference.Familiar())
		}
		if id := ui.ShortID(image.ID); image.Reference.IsZero() || r.word != "" {
			words = append(words, id)
		}
	}
	return unique(words), false
}

// storedRepositories are the repositories of the images in the local store.
func storedRepositories(ctx context.Context, r request) (words []string, open bool) {
	images, err := storedImages(ctx, r.app)
	if err != nil {
		return nil, false
	}
	for _, image := range images {
		if !image.Reference.IsZero() {
			words = append(words, image.Reference.FamiliarName())
		}
	}
	return unique(words), true
}

func unique(words []string) []string {
	slices.SortFunc(words, compareNatural)
	return slices.Compact(words)
}

func pushed(ctx context.Context, r request) (words []string, open bool) {
	if all, err := r.cmd.Flags().GetBool("all-tags"); err == nil && all {
		words, _ = storedRepositories(ctx, r)
		return words, false
	}
	return storedNames(ctx, r)
}

func inspected(ctx context.Context, r request) (words []string, open bool) {
	if remote, err := r.cmd.Flags().GetBool("remote"); err == nil && remote {
		return copied(ctx, r)
	}
	return storedNames(ctx, r)
}

// copied are the places that copy takes: those of remoteImages, the local store and layouts.
func copied(ctx context.Context, r request) (words []string, open bool) {
	const layout, local = string(reference.Layout) + ":", string(reference.Store) + ":"
	if strings.HasPrefix(r.word, local) {
		words, _ = storedNames(ctx, r)
		for i, word := range words {
			words[i] = local + word
		}
		return words, false
	}
	if dir, ok := strings.CutPrefix(r.word, layout); ok && !strings.Contains(filepath.Base(dir), ":") {
		return layoutsBelow(layout, dir), true
	}
	words, open = remoteImages(ctx, r)
	if open {
		words = append(words, layout, local)
	}
	return words, open
}

// layoutsBelow are the directories that may be meant: layouts, and others, which end with a slash.
func layoutsBelow(prefix, typed string) (words []string) {
	parent, name := filepath.Split(typed)
	found, err := os.ReadDir(cmp.Or(parent, "."))
	if err != nil {
		return nil
	}
	for _, entry := range found {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") && !strings.HasPrefix(name, ".") {
			continue
		}
		word := prefix + parent + entry.Name()
		if _, err := os.Stat(filepath.Join(parent, entry.Name(), "oci-layout")); err != nil {
			word += "/"
		}
		words = append(words, word)
	}
	return words
}

// remoteImages are the tags of the repository in the word. Before its colon, only the repositories that the local store
// has are known: no registry's catalog is listed.
func remoteImages(ctx context.Context, r request) (words []string, open bool) {
	name, repository, ok := cutTag(r.word)
	if !ok {
		return storedRepositories(ctx, r)
	}
	for _, tag := range repositoryTags(ctx, r.app, repository) {
		words = append(words, name+":"+tag)
	}
	return words, false
}

// cutTag returns the repository in a word that goes on with a colon.
func cutTag(word string) (name string, repository reference.Reference, ok bool) {
	colon := strings.LastIndex(word, ":")
	if colon < 0 || strings.ContainsAny(word[colon:], "/@") {
		return "", repository, false
	}
	name = word[:colon]
	repository, err := reference.ParseRepository(name)
	if err != nil {
		return "", repository, false
	}
	// What may be a host and its port, or a transport, is not read as a repository when something follows its colon.
	tagged, err := reference.Parse(name + ":0")
	return name, repository, err == nil && tagged.WithoutIdentifier() == repository
}

// repositoryTags returns the tags of a repository. Those at a registry are remembered for some minutes.
func repositoryTags(ctx context.Context, a *app, repository reference.Reference) []string {
	remembered := newTagCache(a, repository)
	if tags, ok := remembered.Read(repository); ok {
		return tags
	}
	tags, err := listTags(ctx, a, repository, false)
	if err != nil {
		return nil
	}
	remembered.Write(repository, tags)
	return tags
}

// newTagCache returns the cache of the tags of a repository; one that keeps nothing if there is no directory for the state.
func newTagCache(a *app, repository reference.Reference) tagcache.Cache {
	dir := a.stateDir()
	if dir == "" || !repository.IsRegistry() {
		return tagcache.Cache{}
	}
	return tagcache.Cache{Dir: filepath.Join(dir, "completion"), Identity: loginIdentity(a)}
}

// loginIdentity returns a text that changes when the account at a registry may be another one: with the configuration, and
// with a login.
func loginIdentity(a *app) string {
	files := append([]string{a.defaultConfig()}, a.flags.config...)
	var text strings.Builder
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		text.WriteString(a.getenv(name) + "\x00")
	}
	if docker, err := auth.DockerFile(a.getenv); err == nil {
		files = append(files, docker.Path())
	}
	files = append(files, a.getenv("REGISTRY_AUTH_FILE"))
	for _, file := range files {
		text.WriteString(file + "\x00")
		if path, err := filepath.Abs(file); err == nil && file != "" {
			text.WriteString(path + "\x00")
		}
		if info, err := os.Stat(file); err == nil {
			text.WriteString(info.ModTime().String() + "\x00")
		}
	}
	return text.String()
}

// hosts are the registries that a login or the configuration names.
func hosts(ctx context.Context, r request) (words []string, open bool) {
	words, _ = logins(ctx, r)
	if settings, err := r.app.configuration(); err == nil {
		for _, registry := range settings.Registries {
			words = append(words, registry.Name())
		}
	}
	return unique(words), false
}

// logins are the registries that docker's config.json names.
func logins(_ context.Context, r request) (words []string, open bool) {
	file, err := auth.DockerFile(r.app.getenv)
	if err != nil {
		return nil, false
	}
	words, _ = file.Logins() // what cannot be read names none
	return words, false
}

// entries are those of the configuration.
func entries(_ context.Context, r request) (words []string, open bool) {
	settings, err := written(r)
	if err != nil {
		return nil, false
	}
	return settings.EntryNames(), false
}

// explained are the sources of the configuration, and the tags of the repository in the word.
func explained(ctx context.Context, r request) (words []string, open bool) {
	words, open = remoteImages(ctx, r)
	settings, err := written(r)
	if err != nil {
		return words, open
	}
	for _, entry := range settings.Entries {
		for _, source := range entry.Sources {
			if source.Glob == "" {
				words = append(words, source.Reference.Familiar())
			}
		}
	}
	return unique(words), open
}

// written is the configuration: the files of --config and of the arguments.
func written(r request) (*config.Config, error) {
	files := slices.Clone(r.app.flags.config)
	for _, arg := range r.args {
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() { // explain has a reference, too
			files = append(files, arg)
		}
	}
	env := func(name string) (string, bool) {
		value, ok := r.app.LookupEnv(name)
		if !ok {
			value = "unset" // the names of the entries are known without the passwords
		}
		return value, true
	}
	return config.Load(files, config.Options{Env: env, Stdin: r.app.Stdin})
}

// platforms are the common ones. They complete the last one of a list.
func platforms(_ context.Context, r request) (words []string, open bool) {
	before := r.word[:strings.LastIndex(r.word, ",")+1]
	for _, platform := range []string{
		"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x", "windows/amd64",
	} {
		if !slices.Contains(strings.Split(before, ","), platform) {
			words = append(words, before+platform)
		}
	}
	return words, false
}
