package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/config/internal/decode"
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Options are the inputs of Load besides the files. The zero value uses the process's environment
// and standard input.
type Options struct {
	// Env looks a variable up and reports whether it is set; os.LookupEnv if nil.
	Env func(name string) (string, bool)
	// Stdin is read for the file "-"; os.Stdin if nil.
	Stdin io.Reader
	// Now returns the time whose date in UTC {{.Date}} inserts; time.Now if nil.
	Now func() time.Time
	// RegistriesOnly allows only `registries`, as in a default configuration, and adds a warning if the file has a
	// password that every user of the machine can read.
	RegistriesOnly bool
}

// ParseDuration reads a length of time as configurations write it: "90s", "1h30m", "2d", "12w". It is never
// negative. Only zero, "0", needs no unit.
func ParseDuration(s string) (time.Duration, error) { return decode.ParseDuration(s) }

// FormatDuration formats a length of time as configurations do: "1h30m" instead of "1h30m0s".
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Load reads files and combines them: all registries, and all entries in order. There may be no
// entries. `defaults` apply to the entries of their own file. Two files may configure the same
// registry only with the same settings. If any file has a mistake, the error is an *[Errors] with
// the mistakes of all files.
func Load(files []string, options Options) (*Config, error) {
	if options.Env == nil {
		options.Env = os.LookupEnv
	}
	if options.Stdin == nil {
		options.Stdin = os.Stdin
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	l := &loader{options: options, date: options.Now().UTC().Format(time.DateOnly)}
	for i, name := range files {
		if !slices.Contains(files[:i], name) {
			l.file(name)
		}
	}
	l.uniteRegistries()
	l.checkNames()
	checkConflicts(l.config.Entries, &l.problems)
	if err := l.problems.Err(); err != nil {
		return nil, err
	}
	return &l.config, nil
}

// loader combines files.
type loader struct {
	options    Options
	problems   document.Problems
	config     Config
	registries []registryAt
	date       string // the value of {{.Date}}
}

// file reads one file; "-" is standard input, and relative to the current directory.
func (l *loader) file(name string) {
	var data []byte
	var err error
	display, dir := name, filepath.Dir(name)
	if name == "-" {
		display, dir = "standard input", "."
		data, err = document.ReadAll(l.options.Stdin)
	} else {
		data, err = document.ReadFile(name)
	}
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		l.problems.Add(&document.Source{}, Position{File: display}, err.Error(), "")
		return
	}
	src, ok := document.New(display, dir, data, &l.problems)
	if !ok {
		return
	}
	if root := src.Parse(&l.problems); root != nil {
		l.decode(decode.New(src, &l.problems, l.options.Env), root)
	}
}

// file is one document. Its nodes are decoded after all keys are known, because entries need the
// defaults, which may be written after them.
type file struct {
	version                    int
	registries, defaults, sync *yaml.Node
}

func fileForm() decode.Form[file] {
	later := func(s decode.Schema) decode.Kind[*yaml.Node] {
		return decode.Kind[*yaml.Node]{Schema: s, Read: func(_ *decode.Decoder, n *yaml.Node, _ string) (*yaml.Node, bool) { return n, true }}
	}
	version := decode.Kind[int]{Schema: decode.Schema{"const": 1}, Read: func(d *decode.Decoder, n *yaml.Node, what string) (int, bool) {
		version, ok := d.Integer(n, what, 1)
		if ok && version != 1 {
			d.Fail(d.Resolve(n), "unsupported version %d; this regsync supports version 1", version)
		}
		return version, ok
	}}
	registries := decode.Schema{"type": "object", "additionalProperties": registryForm().Schema()}
	entries := decode.Schema{"type": "array", "items": entryForm().Schema(), "minItems": 1}
	return decode.Form[file]{What: "a configuration", Extras: true, Fields: decode.Fields[file]{
		"version": decode.Into("The version of the format: 1.",
			version, func(f *file) *int { return &f.version }),
		"registries": decode.Into("Settings of registries, by host or host:port. host/path sets only the login for the repositories below that path.",
			later(registries), func(f *file) **yaml.Node { return &f.registries }),
		"defaults": decode.Into("Values for all entries of this file. A key of an entry replaces the default.",
			later(defaultsForm().Schema()), func(f *file) **yaml.Node { return &f.defaults }),
		"sync": decode.Into("The entries: what to copy, and where to.",
			later(entries), func(f *file) **yaml.Node { return &f.sync }),
	}}
}

// Schema is the JSON Schema of a configuration file, for editors. It is made from the tables that
// the loader uses, so that both have the same keys and values. Only [Load] checks rules that depend
// on several keys, on files or on variables.
func Schema() map[string]any {
	root := fileForm().Schema()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "The configuration of regsync sync"
	root["required"] = []string{"version"}
	return root
}

func (l *loader) decode(d *decode.Decoder, root *yaml.Node) {
	if tool := foreignFormat(root); tool != "" {
		d.Fail(root, "this is a configuration file of %s, which has a different format; see docs/getting-started.md", tool)
		return
	}
	var f file
	present, ok := decode.Mapping(d, root, fileForm(), &f)
	if !ok {
		return
	}
	if !present.Has("version") {
		d.Suggest(root, "begin with `version: 1`", "`version` is missing")
	}
	if l.options.RegistriesOnly {
		for _, key := range []string{"defaults", "sync"} {
			if present.Has(key) {
				d.Suggest(present[key].Name, "put it in a file of its own, for `regsync sync FILE`",
					"`%s` is not allowed in the default configuration, which has `registries` only", key)
			}
		}
		f.defaults, f.sync = nil, nil
	}
	if f.registries != nil {
		decoded := decodeRegistries(d, f.registries)
		l.registries = append(l.registries, decoded...)
		if l.options.RegistriesOnly {
			warnOfPasswords(d, decoded)
		}
	}
	entries := decodeEntries(d, f.defaults, f.sync, l.date)
	if d.Exhausted() {
		return
	}
	l.config.Entries = append(l.config.Entries, entries...)
	l.config.Warnings = append(l.config.Warnings, d.Warnings...)
}

// uniteRegistries adds each registry once.
func (l *loader) uniteRegistries() {
	first := map[string]registryAt{}
	for _, r := range l.registries {
		before, again := first[r.Name()]
		switch {
		case !again:
			first[r.Name()] = r
			l.config.Registries = append(l.config.Registries, r.Registry)
		case before.src == r.src:
			l.problems.Add(r.src, r.at, fmt.Sprintf("`%s` is the same registry as on line %d", r.Name(), before.at.Line), "")
		case !reflect.DeepEqual(before.Registry, r.Registry):
			l.problems.Add(r.src, r.at, fmt.Sprintf("`%s` is configured differently at %s", r.Name(), before.at), "")
		}
	}
}

// checkNames refuses duplicate names of entries, because reports and --only use names.
func (l *loader) checkNames() {
	first := map[string]Position{}
	for _, e := range l.config.Entries {
		if e.nameAt == nil || e.Name == "" {
			continue
		}
		at := e.src.At(e.nameAt)
		if before, again := first[e.Name]; again {
			l.problems.Add(e.src, at, fmt.Sprintf("the name %s is already used at %s", quote.Word(e.nameAt.Value), before), "")
			continue
		}
		first[e.Name] = at
	}
}

// foreignFormat recognises the files of other tools by their keys, and names the tool.
func foreignFormat(root *yaml.Node) string {
	if root.Kind != yaml.MappingNode || len(root.Content) == 0 {
		return ""
	}
	foreignEntry := func(e *yaml.Node) bool {
		return valueOf(e, "source") != nil && valueOf(e, "from") == nil && (valueOf(e, "target") != nil || valueOf(e, "type") != nil)
	}
	sync := valueOf(root, "sync")
	switch {
	case valueOf(root, "creds") != nil && valueOf(root, "registries") == nil,
		sync != nil && slices.ContainsFunc(sync.Content, foreignEntry):
		return "regclient's regsync"
	case sync != nil || valueOf(root, "version") != nil:
		return ""
	case valueOf(root, "relay") != nil || valueOf(root, "tasks") != nil:
		return "dregsy"
	case valueOf(root, "auth") != nil && valueOf(root, "images") != nil:
		return "image-syncer"
	}
	named := true // all keys are registries or images
	for i := 0; i+1 < len(root.Content); i += 2 {
		for _, key := range []string{"images", "images-by-tag-regex", "images-by-semver"} {
			if images := valueOf(root.Content[i+1], key); images != nil && images.Kind == yaml.MappingNode {
				return "skopeo sync"
			}
		}
		named = named && strings.ContainsAny(root.Content[i].Value, "./")
	}
	if named {
		return "image-syncer"
	}
	return ""
}

// valueOf is the node of a key's value, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// checkConflicts finds tags that would be written twice and images that would be copied onto themselves, as far as
// the files alone show it. Nothing is concluded from a value with a mistake.
func checkConflicts(entries []Entry, found *document.Problems) {
	var stated []*conflict.Stated
	var sources []Source
	for i := range entries {
		e := &entries[i]
		if e.doubt["tags"] || e.doubt["rename"] {
			continue
		}
		entry := conflict.NewEntry(e.Name, e.Tags, e.Platforms, e.Destinations)
		for j, from := range e.Sources {
			s := &conflict.Stated{
				Writer:   conflict.Writer{Order: conflict.Order{i, j}, Entry: entry, Source: from.Sample()},
				Position: from.Position.String(), AnyPlatforms: e.doubt["platforms"],
				InPart:     len(e.Platforms) > 0 || e.Attestations == transfer.AttestationsDrop,
				Overwrites: !e.doubt["overwrite"] && (e.Overwrite == "" || e.Overwrite == transfer.OverwriteAlways),
			}
			if from.Glob != "" {
				s.Matches = func(ref reference.Reference) bool {
					return ref.IsRegistry() && ref.Registry == from.Reference.Registry && from.Matches(ref.Repository)
				}
			}
			stated, sources = append(stated, s), append(sources, from)
		}
	}
	for _, p := range conflict.Check(stated) {
		found.Add(sources[p.Source].src, sources[p.Source].Position, p.Message, "")
	}
}
