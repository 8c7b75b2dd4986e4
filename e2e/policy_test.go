package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// policed is a mirror of a repository under rules, with proxies in front of both sides.
type policed struct {
	shell    *lab.Shell
	from, to *lab.Proxy
	config   string
	source   string            // the repository
	mirror   string            // the one that it is copied to
	taken    map[string]string // the tags that the rules take, and what they are called there
}

// policy: which tags are taken, what they are called, and which of them may move, over three
// nights.
func (s *stage) policy(t *testing.T) {
	p := s.policed(t)
	first := p.shell.Regsync(t, "sync", "-c", p.config)
	wantWords(t, first.Stdout, "7 tags, 7 images: 7 copied")
	wantTags(t, p.shell, p.mirror, p.taken)
	for tag, renamed := range p.taken {
		wantDigests(t, p.shell, lab.Digest(t, p.source+":"+tag), p.mirror+":"+renamed)
	}
	p.nothingToDo(t)
	p.moved(t)
}

func (s *stage) policed(t *testing.T) *policed {
	t.Helper()
	p := &policed{
		shell: s.shell(t), source: s.compose.Plain + "/policy/app",
		from: lab.StartProxy(t, s.compose.Plain, 0), to: lab.StartProxy(t, s.compose.Token, 0),
		taken: map[string]string{"latest": "latest", "nightly": "nightly", "stable": "stable"},
	}
	p.mirror = p.to.Host + "/policy/mirror"
	p.shell.Know(t, s.materials.Owner, p.to.Host)
	for i, tag := range []string{
		"1.9.9", "1.24.0", "1.25.0", "1.25.10", "1.26.0-rc.1", "1.25.9", "2.0.0", "1.25.10-alpine3.19", "1.25.9-alpine3.19",
		"1.25.10-debian-12-r4", "latest", "nightly", "stable",
	} {
		lab.Push(t, p.source+":"+tag, policyImage(t, i))
	}
	for _, version := range []string{"1.25.9", "1.25.10", "1.25.9-alpine3.19", "1.25.10-alpine3.19"} {
		p.taken[version] = version + "-cn"
	}
	p.config = p.shell.Write(t, "mirror.yaml", `version: 1
defaults: {to: `+quote(p.mirror)+`}
sync:
  - name: releases
    from: `+quote(p.from.Host+"/policy/app")+`
    tags: {semver: ">=1.25 <2", variants: ["alpine*"], newest: 2}
    rename: "{{.Tag}}-cn"
    immutable: ["1.*"]
  - {name: pinned, from: `+quote(p.from.Host+"/policy/app:stable")+`, overwrite: never}
  - {name: moving, from: `+quote(p.from.Host+"/policy/app")+`, tags: {include: [latest, night*]}}
`)
	return p
}

// nothingToDo: the second night asks nobody about what cannot change.
func (p *policed) nothingToDo(t *testing.T) {
	t.Helper()
	p.from.Take()
	p.to.Take()
	second := p.shell.Regsync(t, "sync", "-c", p.config)
	wantWords(t, second.Stdout, "7 tags, 7 images: 7 unchanged")
	asked := slices.Concat(p.from.Take(), p.to.Take())
	for _, e := range asked {
		if strings.Contains(e.Path, "/manifests/1.") || e.Method != http.MethodGet && e.Method != http.MethodHead {
			t.Errorf("%s %s on a night with nothing to do", e.Method, e.Path)
		}
	}
	// A listing, the first contact with the destination meanwhile, three tags on two sides, whether there are signatures,
	// and a token.
	if len(asked) > 10 {
		t.Errorf("%d requests, want at most 10: %v", len(asked), asked)
	}
	p.shell.Regsync(t, "diff", "-c", p.config)
}

// moved: what moves at the source moves here only where it may, and who asks is told why.
func (p *policed) moved(t *testing.T) {
	t.Helper()
	kept := map[string]string{}
	for i, tag := range []string{"1.25.9", "stable", "latest"} {
		kept[tag] = lab.Digest(t, p.source+":"+tag)
		lab.Push(t, p.source+":"+tag, policyImage(t, 20+i))
	}
	const immutable, never = "the tag is immutable and points to another image", "the tag already exists (overwrite: never)"
	found := p.shell.Want(t, 4, "diff", "-c", p.config, "--recheck")
	wantWords(t, found.Stdout, immutable, never, "diff: 0 to add, 1 to move, 4 unchanged, 2 skipped")
	report := p.shell.Path("last.json")
	third := p.shell.Regsync(t, "sync", "-c", p.config, "--recheck", "--report", report)
	wantWords(t, third.Stdout, immutable, never, "1 copied, 4 unchanged, 2 skipped")
	if told := readReport(t, report); told.Counts.Copied != 1 || told.Counts.Skipped != 2 {
		t.Errorf("the report says %+v", told)
	}
	wantDigests(t, p.shell, kept["1.25.9"], p.mirror+":1.25.9-cn")
	wantDigests(t, p.shell, kept["stable"], p.mirror+":stable")
	wantDigests(t, p.shell, lab.Digest(t, p.source+":latest"), p.mirror+":latest")

	// Refused is refused, also by who remembers nothing.
	refused := p.shell.Regsync(t, "--state", p.shell.Path("new"), "diff", "-c", p.config)
	wantWords(t, refused.Stdout, immutable, never, "5 unchanged, 2 skipped")
	explained := p.shell.Regsync(t, "explain", "-c", p.config, p.mirror+":1.25.9-cn")
	wantWords(t, explained.Stdout, "among the 2 newest", "immutable, copied in an earlier run",
		short(lab.Digest(t, p.source+":1.25.9")), short(kept["1.25.9"]))
}

func policyImage(t *testing.T, seed int) v1.Image {
	t.Helper()
	return lab.Image(t, "linux/amd64", lab.Layer(t, 480, 20_000), lab.Layer(t, 481+uint64(seed), 1000))
}

// short is how a digest is shown to people.
func short(digest string) string { return digest[:len("sha256:")+12] }

// wantTags wants a repository to have these tags, by their name at the source, and no other.
func wantTags(t *testing.T, shell *lab.Shell, repository string, want map[string]string) {
	t.Helper()
	var tags []string
	for _, tag := range want {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	got := strings.Fields(shell.Regsync(t, "tags", repository).Stdout)
	slices.Sort(got)
	if !slices.Equal(got, tags) {
		t.Errorf("%s has %q, want %q", repository, got, tags)
	}
}
