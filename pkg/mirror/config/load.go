package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// Options are what reading a configuration needs from outside. The zero value reads the
// process's environment and standard input.
type Options struct {
	// Env looks a variable up and reports whether it is set; os.LookupEnv if nil.
	Env func(name string) (string, bool)
	// Stdin is what the file "-" stands for; os.Stdin if nil.
	Stdin io.Reader
	// Now gives the time whose day in UTC {{.Date}} inserts; time.Now if nil.
	Now func() time.Time
}

// Load reads files and unites them: all registries, and all entries in order, of which there
// may be none. `defaults` hold for the entries of their own file. A registry that two files
// configure must be the same in both. A mistake in any file is an *[Errors] with those of
// all of them.
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
	l := &loader{
		options: options, problems: newProblems(), config: &Config{},
		date: options.Now().UTC().Format(time.DateOnly),
	}
	for i, name := range files {
		if !slices.Contains(files[:i], name) {
			l.file(name)
		}
	}
	l.check()
	if err := l.problems.err(); err != nil {
		return nil, err
	}
	return l.config, nil
}

// loader unites files.
type loader struct {
	options    Options
	problems   *problems
	config     *Config
	registries []registryAt
	date       string
}

// file reads one file; "-" is standard input, and relative to the current directory.
func (l *loader) file(name string) {
	var data []byte
	var err error
	display, dir := name, filepath.Dir(name)
	if name == "-" {
		display, dir = "standard input", "."
		data, err = readAll(l.options.Stdin, maxFile)
	} else {
		data, err = readLimited(name, maxFile)
	}
	if err != nil {
		l.problems.add(nil, Position{File: display}, pathCause(err), "")
		return
	}
	if dir, err = filepath.Abs(dir); err != nil {
		l.problems.add(nil, Position{File: display}, err.Error(), "")
		return
	}
	src, text, ok := plainText(display, dir, data, l.problems)
	if !ok {
		return
	}
	if root := document(src, []byte(text), l.problems); root != nil {
		l.decode(src, root, len(text))
	}
}

// file is the whole of one document. The nodes are decoded after all keys are known,
// because entries need the defaults wherever they stand.
type file struct {
	version                    int
	registries, defaults, sync *yaml.Node
}

func fileForm() form[file] {
	return form[file]{what: "a configuration", fields: fileKeys(), extras: true}
}

func fileKeys() fields[file] {
	settings := settingsForm().schema()
	entries := schema{"type": "array", "items": entryForm().schema(), "minItems": 1}
	registries := schema{"type": "object", "additionalProperties": registryForm().schema()}
	return fields[file]{
		"version":    is(kind[int]{schema{"const": 1}, (*decoder).version}, func(f *file) *int { return &f.version }),
		"registries": is(raw(registries), func(f *file) **yaml.Node { return &f.registries }),
		"defaults":   is(raw(settings), func(f *file) **yaml.Node { return &f.defaults }),
		"sync":       is(raw(entries), func(f *file) **yaml.Node { return &f.sync }),
	}
}

// raw is a value that is decoded later.
func raw(s schema) kind[*yaml.Node] {
	return kind[*yaml.Node]{s, func(_ *decoder, n *yaml.Node, _ string) (*yaml.Node, bool) { return n, true }}
}

func (d *decoder) version(n *yaml.Node, what string) (int, bool) {
	version, ok := d.integer(n, what, 1)
	if ok && version != 1 {
		d.fail(d.resolve(n), "version %d is not one that this regsync reads; it reads 1", version)
	}
	return version, ok
}

func (l *loader) decode(src *source, root *yaml.Node, size int) {
	d := &decoder{src: src, problems: l.problems, env: l.options.Env, visits: visitsFor(size), date: l.date}
	if d.foreign(root) {
		return
	}
	var f file
	present, ok := decodeMapping(d, root, fileForm(), &f)
	if !ok {
		return
	}
	if !present.has("version") {
		d.suggest(root, "begin with `version: 1`", "`version` is missing")
	}
	if f.registries != nil {
		l.registries = append(l.registries, d.registries(f.registries)...)
	}
	shared := defaultSettings()
	if f.defaults != nil {
		shared = d.defaults(f.defaults)
	}
	if f.sync != nil {
		entries := d.entries(f.sync, shared)
		if d.exhausted() {
			return
		}
		l.config.Entries = append(l.config.Entries, entries...)
	}
	l.config.Warnings = append(l.config.Warnings, d.warnings...)
}

// check looks at what the files say together.
func (l *loader) check() {
	l.uniteRegistries()
	l.checkNames()
	flows := flowsOf(l.config.Entries)
	checkCollisions(flows, l.problems)
	checkCircles(flows, l.problems)
}

// uniteRegistries takes each registry once.
func (l *loader) uniteRegistries() {
	first := map[string]registryAt{}
	for _, r := range l.registries {
		before, again := first[r.Name()]
		switch {
		case !again:
			first[r.Name()] = r
			l.config.Registries = append(l.config.Registries, r.Registry)
		case before.src == r.src:
			l.problems.add(r.src, r.Position, fmt.Sprintf("`%s` is the same registry as on line %d", r.Name(), before.Position.Line), "")
		case !reflect.DeepEqual(before.Registry, r.Registry):
			l.problems.add(r.src, r.Position, fmt.Sprintf("`%s` is configured differently at %s", r.Name(), before.Position), "")
		}
	}
}

// checkNames refuses a name that two entries have: reports and --only go by names.
func (l *loader) checkNames() {
	first := map[string]Position{}
	for _, e := range l.config.Entries {
		if e.nameAt == nil || e.Name == "" {
			continue
		}
		at := e.src.at(e.nameAt)
		if before, again := first[e.Name]; again {
			l.problems.add(e.src, at, fmt.Sprintf("the name %s is taken by %s", quote.Word(e.nameAt.Value), before), "")
			continue
		}
		first[e.Name] = at
	}
}
