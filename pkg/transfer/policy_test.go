package transfer

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// madeOn is an image whose configuration says when it was created; an empty time does not.
func madeOn(created string) contenttest.Image {
	config := map[string]any{"os": "linux", "architecture": "amd64", "created": created}
	return contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest},
		contenttest.JSON(ocispec.MediaTypeImageConfig, config), contenttest.NewLayer("made"+created, 50))
}

// createdAt is what was found where two images say when they were created.
func createdAt(source, destination string) Found {
	at := func(s string) time.Time {
		t, _ := time.Parse(time.RFC3339, s)
		return t
	}
	return Found{SourceCreated: at(source), DestinationCreated: at(destination)}
}

// inUTC makes the times of a rule comparable.
func inUTC(r Rule) Rule {
	r.Found.SourceCreated, r.Found.DestinationCreated = r.Found.SourceCreated.UTC(), r.Found.DestinationCreated.UTC()
	return r
}

func TestOverwrite(t *testing.T) {
	older, newer := madeOn("2025-12-01T10:00:00Z"), madeOn("2026-01-02T10:00:00Z")
	for _, test := range []struct {
		name         string
		overwrite    Overwrite
		source, dest contenttest.Image
		want         Action
		rule         Rule
	}{
		{name: "always", source: older, dest: newer, want: ActionMove},
		{name: "never", overwrite: OverwriteNever, source: newer, dest: older, want: ActionSkip,
			rule: Rule{Kind: RuleNever}},
		{name: "never, equal", overwrite: OverwriteNever, source: newer, dest: newer, want: ActionUnchanged},
		{name: "newer, is older there", overwrite: OverwriteNewer, source: newer, dest: older, want: ActionMove},
		{name: "newer, is newer there", overwrite: OverwriteNewer, source: older, dest: newer, want: ActionSkip,
			rule: Rule{Kind: RuleNewer, Found: createdAt("2025-12-01T10:00:00Z", "2026-01-02T10:00:00Z")}},
		{name: "newer, later on one day", overwrite: OverwriteNewer, source: older, dest: madeOn("2025-12-01T10:00:01Z"), want: ActionSkip,
			rule: Rule{Kind: RuleNewer, Found: createdAt("2025-12-01T10:00:00Z", "2025-12-01T10:00:01Z")}},
		{name: "newer, equal times", overwrite: OverwriteNewer, source: older, dest: madeOn("2025-12-01T12:00:00+02:00"), want: ActionSkip,
			rule: Rule{Kind: RuleSameAge, Found: createdAt("2025-12-01T10:00:00Z", "2025-12-01T10:00:00Z")}},
		{name: "newer, unknown there", overwrite: OverwriteNewer, source: older, dest: madeOn(""), want: ActionSkip,
			rule: Rule{Kind: RuleDestinationUndated}},
		{name: "newer, unknown here", overwrite: OverwriteNewer, source: madeOn("yesterday"), dest: older, want: ActionSkip,
			rule: Rule{Kind: RuleSourceUndated}},
		{name: "newer, the newest of an index", overwrite: OverwriteNewer, want: ActionMove,
			source: contenttest.NewIndex(older, newer), dest: contenttest.NewIndex(older)},
		{name: "newer, an index with a newer one there", overwrite: OverwriteNewer, want: ActionSkip,
			source: older, dest: contenttest.NewIndex(older, newer),
			rule: Rule{Kind: RuleNewer, Found: createdAt("2025-12-01T10:00:00Z", "2026-01-02T10:00:00Z")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.source.Push(t, w.at("a.test/app").MemoryRepository, "1")
			test.dest.Push(t, w.at("b.test/app").MemoryRepository, "1")
			j := job("a.test/app:1", "b.test/app:1", "c.test/app:1")
			j.Overwrite = test.overwrite
			results := run(t, New(w, Options{}), j)
			ok(t, results...)
			there, absent := results[0].Destinations[0], results[0].Destinations[1]
			if there.Action != test.want || inUTC(there.Rule) != test.rule {
				t.Errorf("%s %+v, want %s %+v", there.Action, there.Rule, test.want, test.rule)
			}
			want := test.source.Digest()
			if test.want == ActionSkip {
				want = test.dest.Digest()
			}
			if got := w.at("b.test/app").tag("1"); got != want || there.Digest != want {
				t.Errorf("%s is there and %s is reported, want %s", got, there.Digest, want)
			}
			if absent.Action != ActionAdd || w.at("c.test/app").tag("1") != test.source.Digest() {
				t.Errorf("a destination without the tag: %s, want it added", absent.Action)
			}
		})
	}
}

// Times are asked for only where a tag would move.
func TestNewerCostsNothingWhereNothingMoves(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	for _, name := range []string{"a.test/app", "b.test/app"} {
		image.Push(t, w.at(name).MemoryRepository, "1")
	}
	j := job("a.test/app:1", "b.test/app:1")
	j.Overwrite = OverwriteNewer
	ok(t, run(t, New(w, Options{}), j)...)
	for _, name := range []string{"a.test/app", "b.test/app"} {
		requireCounts(t, name, w.at(name), map[string]int{"resolve": 1, "manifest": 0, "fetch": 0})
	}
}

// A destination whose image cannot be read says so; the others go on.
func TestNewerWhereADestinationIsBroken(t *testing.T) {
	w := newWorld()
	newer, older := madeOn("2026-01-02T10:00:00Z"), madeOn("2025-12-01T10:00:00Z")
	newer.Push(t, w.at("a.test/app").MemoryRepository, "1")
	for _, name := range []string{"b.test/app", "c.test/app"} {
		older.Push(t, w.at(name).MemoryRepository, "1")
	}
	w.at("b.test/app").onFetch = denied
	j := job("a.test/app:1", "b.test/app:1", "c.test/app:1")
	j.Overwrite = OverwriteNewer
	got := run(t, New(w, Options{}), j)[0].Destinations
	if side, found := errors.AsType[*Error](got[0].Err); !found || side.Side != SideDestination || got[0].Action != ActionNone {
		t.Errorf("%s: %v, want an error of the destination", got[0].Action, got[0].Err)
	}
	if got[1].Err != nil || got[1].Action != ActionMove {
		t.Errorf("the other one: %s %v", got[1].Action, got[1].Err)
	}
}

// copies is a CopyMemory in memory.
type copies struct {
	mu   sync.Mutex
	kept map[[2]string]digest.Digest
}

func (c *copies) Copied(from, to string) (digest.Digest, time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	image, known := c.kept[[2]string{from, to}]
	return image, time.Time{}, known
}

func (c *copies) KeepCopied(from, to string, image digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[[2]string]digest.Digest{}
	}
	c.kept[[2]string{from, to}] = image
}

// requests is how much a wire was asked in all.
func (w *wire) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := 0
	for what, n := range w.counts {
		if !strings.Contains(what, " ") { // "resolve latest" is counted as "resolve", too
			sum += n
		}
	}
	return sum
}

func TestImmutableTagsCostNothingOnceCopied(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "v1")
	image.Push(t, w.at("c.test/app").MemoryRepository, "v1") // seen equal, not copied
	memory := &copies{}
	j := withReferrers(job("a.test/app:v1", "b.test/app:v1", "c.test/app:v1"))
	j.Immutable = true
	ok(t, run(t, New(w, Options{Copies: memory}), j)...)
	if len(memory.kept) != 2 {
		t.Fatalf("remembered %v, want both destinations", memory.kept)
	}
	names := []string{"a.test/app", "b.test/app", "c.test/app"}
	before := map[string]int{}
	for _, name := range names {
		before[name] = w.at(name).requests()
	}

	results := run(t, New(w, Options{Copies: memory}), j)
	ok(t, results...)
	for plan, err := range New(w, Options{Copies: memory}).Plan(t.Context(), slices.Values([]Job{j})) {
		if err != nil || plan.Destinations[0].Action != ActionUnchanged || plan.Image.Digest != image.Digest() ||
			plan.Destinations[0].Rule != (Rule{Kind: RuleCopied}) {
			t.Errorf("the dry run says %+v, %v", plan, err)
		}
	}
	for _, name := range names {
		if got := w.at(name).requests() - before[name]; got != 0 {
			t.Errorf("%s was asked %d times for what is known", name, got)
		}
	}
	for _, d := range results[0].Destinations {
		if d.Action != ActionUnchanged || d.Digest != image.Digest() || d.Rule != (Rule{Kind: RuleCopied}) {
			t.Errorf("%s: %s %s by %+v", d.Reference.Familiar(), d.Action, d.Digest, d.Rule)
		}
	}

	results = run(t, New(w, Options{Copies: memory, Recheck: true}), j)
	ok(t, results...)
	if d := results[0].Destinations[0]; d.Rule != (Rule{}) {
		t.Errorf("%s was asked: %+v", d.Reference.Familiar(), d.Rule)
	}
	for _, name := range names {
		if w.at(name).requests() == before[name] {
			t.Errorf("%s was not asked although that was wanted", name)
		}
	}
}

func TestImmutableTagKnownAtSomeDestinations(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "v1")
	memory := &copies{}
	j := job("a.test/app:v1", "b.test/app:v1")
	j.Immutable = true
	ok(t, run(t, New(w, Options{Copies: memory}), j)...)
	before := w.at("b.test/app").requests()
	j.Destinations = append(j.Destinations, ref("c.test/app:v1"))
	results := run(t, New(w, Options{Copies: memory}), j)
	ok(t, results...)
	var actions []Action
	for _, d := range results[0].Destinations {
		actions = append(actions, d.Action)
	}
	if want := []Action{ActionUnchanged, ActionAdd}; !slices.Equal(actions, want) {
		t.Errorf("actions %v, want %v", actions, want)
	}
	if got := w.at("b.test/app").requests() - before; got != 0 {
		t.Errorf("the known destination was asked %d times", got)
	}
	if w.at("c.test/app").tag("v1") != image.Digest() {
		t.Error("the other destination got nothing")
	}
}

// What failed, and what stays as it is by a rule, is asked for again the next time.
func TestOnlyWhatIsRightIsRemembered(t *testing.T) {
	w := newWorld()
	image, other := twoPlatforms(""), twoPlatforms("other")
	image.Push(t, w.at("a.test/app").MemoryRepository, "v1")
	other.Push(t, w.at("b.test/app").MemoryRepository, "v1")
	w.at("c.test/app").onPushManifest = func(content.Descriptor, string) error { return content.ErrDenied }
	memory := &copies{}
	j := job("a.test/app:v1", "b.test/app:v1", "c.test/app:v1")
	j.Immutable = true
	got := run(t, New(w, Options{Copies: memory}), j)[0].Destinations
	if want := (Rule{Kind: RuleImmutable}); got[0].Action != ActionSkip || got[0].Rule != want || got[0].Previous != other.Digest() {
		t.Errorf("%s %+v of %s, want %+v of %s", got[0].Action, got[0].Rule, got[0].Previous, want, other.Digest())
	}
	if at := w.at("b.test/app").tag("v1"); at != other.Digest() {
		t.Errorf("the immutable tag was moved to %s", at)
	}
	if !errors.Is(got[1].Err, content.ErrDenied) {
		t.Errorf("got %v, want a denial", got[1].Err)
	}
	if len(memory.kept) != 0 {
		t.Errorf("remembered %v", slices.Collect(maps.Keys(memory.kept)))
	}
}

// What of the source is copied is part of the name under which it is remembered. An image
// that was there before regsync counts as copied, too: one without the signatures that are
// asked for since, or without a platform that is required since, was told to be right.
func TestCopiedFromTellsSelectionsApart(t *testing.T) {
	plain := job("a.test/app:v1", "b.test/app:v1")
	arm, both, swapped := plain, plain, plain
	arm.Platforms = platforms("linux/arm64")
	both.Platforms, swapped.Platforms = platforms("linux/arm64", "linux/amd64"), platforms("linux/amd64", "linux/arm64")
	foreign := plain
	foreign.ForeignLayers = true
	signed, typed := withReferrers(plain), withReferrers(plain)
	typed.ReferrerTypes = []string{"application/vnd.example"}
	required, onCopy, allReferrers, bare := both, signed, signed, plain
	bare.Attestations = AttestationsDrop
	required.RequirePlatforms, onCopy.ReferrersOnCopy, allReferrers.ReferrersRequired = true, true, true
	jobs := []Job{plain, arm, both, required, foreign, signed, typed, onCopy, allReferrers, bare}
	names := map[string]bool{}
	for _, j := range jobs {
		names[copiedFrom(j)] = true
	}
	if len(names) != len(jobs) {
		t.Errorf("%d names for %d selections: %v", len(names), len(jobs), slices.Collect(maps.Keys(names)))
	}
	if copiedFrom(both) != copiedFrom(swapped) {
		t.Error("the order of the platforms makes a difference")
	}
}

func TestMaxSize(t *testing.T) {
	foreign := contenttest.NewBlob(content.MediaTypeDockerForeignLayer, "windows", 5000)
	shared := contenttest.NewLayer("shared", 4000)
	image := contenttest.NewIndex(
		contenttest.NewImage("linux/amd64", shared, contenttest.NewLayer("a", 3000)),
		contenttest.NewImage("linux/arm64", shared, foreign),
	)
	for _, test := range []struct {
		name      string
		limit     int64
		platforms []string
		foreign   bool
		skipped   bool
	}{
		{name: "none"},
		{name: "enough, the shared layer counts once", limit: 8500},
		{name: "too large", limit: 7000, skipped: true},
		{name: "one platform is small enough", limit: 7000, platforms: []string{"linux/arm64"}},
		{name: "with the foreign layer", limit: 7000, platforms: []string{"linux/arm64"}, foreign: true, skipped: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			image.Push(t, w.at("a.test/app").MemoryRepository, "1")
			foreign.Push(t, w.at("a.test/app").MemoryRepository)
			j := withReferrers(job("a.test/app:1", "b.test/app:1"))
			j.MaxSize, j.Platforms, j.ForeignLayers = test.limit, platforms(test.platforms...), test.foreign
			results := run(t, New(w, Options{}), j)
			ok(t, results...)
			got := results[0].Destinations[0]
			if skipped := got.Action == ActionSkip; skipped != test.skipped {
				t.Fatalf("%s %+v", got.Action, got.Rule)
			}
			if test.skipped {
				if at := w.at("b.test/app").tag("1"); at != "" {
					t.Errorf("the tag points to %s", at)
				}
				if r := got.Rule; r.Kind != RuleMaxSize || r.Limit != test.limit || r.Found.Size <= r.Limit || r.Found.Size > r.Limit+3000 {
					t.Errorf("the rule is %+v", r)
				}
				requireCounts(t, "source", w.at("a.test/app"), map[string]int{"fetch": 0, "referrers": 0})
			}
		})
	}
}

// What is there stays unchanged, however large it is.
func TestMaxSizeLeavesUnchangedImagesAlone(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	for _, name := range []string{"a.test/app", "b.test/app"} {
		image.Push(t, w.at(name).MemoryRepository, "1")
	}
	j := job("a.test/app:1", "b.test/app:1", "c.test/app:1")
	j.MaxSize = 1
	got := run(t, New(w, Options{}), j)[0].Destinations
	if got[0].Action != ActionUnchanged || got[1].Action != ActionSkip {
		t.Errorf("actions %s and %s", got[0].Action, got[1].Action)
	}
}

// What the tag was resolved to a moment ago is not asked again, unless it has gone since.
func TestResolvedSource(t *testing.T) {
	for _, gone := range []bool{false, true} {
		w := newWorld()
		image, next := twoPlatforms(""), twoPlatforms("next")
		a := w.at("a.test/app")
		image.Push(t, a.MemoryRepository, "1")
		resolved, err := a.MemoryRepository.Resolve(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		want, asked := image, 0
		var source content.Source = a
		if gone {
			next.Push(t, a.MemoryRepository, "1")
			source, want, asked = &vanishing{wire: a, digest: image.Digest().String()}, next, 1
		}
		j := job("a.test/app:1", "b.test/app:1")
		j.Resolved = &resolved
		ok(t, run(t, New(opener{source: source, world: w}, Options{}), j)...)
		if got := w.at("b.test/app").tag("1"); got != want.Digest() {
			t.Errorf("gone %v: copied %s, want %s", gone, got, want.Digest())
		}
		requireCounts(t, "source", a, map[string]int{"resolve": asked})
	}
}

// Policies do not hide that a required platform is missing.
func TestRequiredPlatformsUnderPolicies(t *testing.T) {
	for _, overwrite := range []Overwrite{OverwriteAlways, OverwriteNever, OverwriteNewer} {
		w := newWorld()
		twoPlatforms("").Push(t, w.at("a.test/app").MemoryRepository, "1")
		twoPlatforms("old").Push(t, w.at("b.test/app").MemoryRepository, "1")
		j := job("a.test/app:1", "b.test/app:1")
		j.Platforms, j.RequirePlatforms = platforms("linux/amd64", "linux/s390x"), true
		j.Overwrite, j.Immutable, j.MaxSize = overwrite, true, 1
		memory := &copies{}
		if err := run(t, New(w, Options{Copies: memory}), j)[0].Err(); !errors.Is(err, ErrNoPlatform) || len(memory.kept) > 0 {
			t.Errorf("%s: got %v and remembered %v, want %v", overwrite, err, memory.kept, ErrNoPlatform)
		}
	}
}

func denied(content.Descriptor, io.ReadCloser) (io.ReadCloser, error) { return nil, content.ErrDenied }
