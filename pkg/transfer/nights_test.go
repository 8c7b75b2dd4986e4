package transfer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// diary is a SelectionMemory and a ChildMemory.
type diary struct {
	mu       sync.Mutex
	selected map[string]selected
	children map[digest.Digest][]digest.Digest
}

type selected struct {
	image    content.Descriptor
	warnings []string
}

func newDiary() *diary {
	return &diary{selected: map[string]selected{}, children: map[digest.Digest][]digest.Digest{}}
}

func (m *diary) Selected(source digest.Digest, selection string) (content.Descriptor, []string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.selected[source.String()+" "+selection]
	return s.image, s.warnings, known
}

func (m *diary) KeepSelected(source digest.Digest, selection string, image content.Descriptor, warnings []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.selected[source.String()+" "+selection] = selected{image, warnings}
}

func (m *diary) Children(index digest.Digest) ([]digest.Digest, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	children, known := m.children[index]
	return children, known
}

func (m *diary) KeepChildren(index digest.Digest, children []digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.children[index] = children
}

// options use the diary; a nil one remembers nothing.
func (m *diary) options() Options {
	if m == nil {
		return Options{}
	}
	return Options{Selections: m, Children: m}
}

// mirror is a source and a destination, and an image with all that may be attached to one.
type mirror struct {
	world       *world
	a, b        *wire
	image       contenttest.Image
	sbom        contenttest.Image // of the image
	ofChild     contenttest.Image
	ofSBOM      contenttest.Image
	signatures  map[digest.Digest]contenttest.Image // by subject
	attachments int
}

func signature(seed string) contenttest.Image {
	return contenttest.NewArtifact("application/vnd.dev.cosign", nil, contenttest.NewLayer("signature "+seed, 50))
}

// newMirror has an image with two tags at a registry without the referrers API.
func newMirror(t *testing.T) *mirror {
	t.Helper()
	w := newWorld()
	m := &mirror{world: w, a: w.at("a.test/app"), b: w.at("b.test/app"), image: twoPlatforms("")}
	m.a.noReferrers, m.b.noReferrers = true, true
	m.image.Push(t, m.a.MemoryRepository, "1")
	m.image.Push(t, m.a.MemoryRepository, "latest")
	m.sbom, m.ofChild = sbom(m.image, "1"), sbom(m.image.Children[0], "2")
	m.ofSBOM = sbom(m.sbom, "of the sbom")
	for _, r := range []contenttest.Image{m.sbom, m.ofChild, m.ofSBOM} {
		r.Push(t, m.a.MemoryRepository, "")
	}
	tagLists(t, m.a, m.sbom, m.ofChild, m.ofSBOM)
	m.signatures = map[digest.Digest]contenttest.Image{}
	for _, subject := range []contenttest.Image{m.image, m.image.Children[1], m.sbom} {
		s := signature(subject.Digest().String())
		s.Push(t, m.a.MemoryRepository, signatureTag(subject.Digest()))
		m.signatures[subject.Digest()] = s
	}
	m.attachments = 6
	return m
}

func (m *mirror) jobs() []Job {
	return []Job{withReferrers(job("a.test/app:1", "b.test/app:1")), withReferrers(job("a.test/app:latest", "b.test/app:latest"))}
}

// next runs jobs, and counts anew before.
func (m *mirror) next(t *testing.T, options Options, jobs ...Job) []*Result {
	t.Helper()
	m.a.forget()
	m.b.forget()
	results := make([]*Result, 0, len(jobs))
	if err := New(m.world, options).Run(t.Context(), slices.Values(jobs), func(r *Result) { results = append(results, r) }); err != nil {
		t.Fatal(err)
	}
	ok(t, results...)
	return results
}

// planned is how many attachments the destinations lack, by the plans.
func (m *mirror) planned(t *testing.T, options Options, jobs ...Job) int {
	t.Helper()
	lacking := 0
	for plan, err := range New(m.world, options).Plan(t.Context(), slices.Values(jobs)) {
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range plan.Destinations {
			if d.Err != nil {
				t.Fatal(d.Err)
			}
			lacking += d.Referrers
		}
	}
	return lacking
}

func brought(results []*Result) int {
	n := 0
	for _, r := range results {
		for _, d := range r.Destinations {
			n += d.Referrers
		}
	}
	return n
}

// once fails the test where a wire was asked twice for one tag or digest.
func once(t *testing.T, name string, w *wire) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, n := range w.counts {
		if strings.HasPrefix(what, "resolve ") && n > 1 {
			t.Errorf("%s: %s %d times", name, what, n)
		}
	}
}

// The second night of an image with signatures of itself, of a child and of its SBOM: one
// look for each tag at each side, a listing of the source, nothing read.
func TestNothingToDo(t *testing.T) {
	for name, remembered := range map[string]*diary{"with a memory": newDiary(), "without one": nil} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			first := m.next(t, remembered.options(), m.jobs()...)
			if got := brought(first); got != m.attachments {
				t.Errorf("the first night brings %d attachments, want %d", got, m.attachments)
			}
			m.everythingIsThere(t)

			second := m.next(t, remembered.options(), m.jobs()...)
			if got := brought(second); got != 0 {
				t.Errorf("%d attachments are brought again", got)
			}
			const tags = 2 + 3 + 3 // of images, lists and signatures
			requireCounts(t, "source", m.a, map[string]int{"resolve": tags, "list": 1, "manifest": 0, "fetch": 0, "referrers": 1})
			requireCounts(t, "destination", m.b, map[string]int{"resolve": tags, "list": 0, "put": 0, "probe": 0, "has": 0})
			once(t, "source", m.a)
			once(t, "destination", m.b)
			if got := m.b.times("manifest"); remembered != nil && got != 0 || got > 2 {
				t.Errorf("%d manifests are read at the destination", got)
			}
			if got := m.planned(t, remembered.options(), m.jobs()...); got != 0 {
				t.Errorf("the plan says that %d attachments are lacking", got)
			}
		})
	}
}

// everythingIsThere compares all tags with the source's.
func (m *mirror) everythingIsThere(t *testing.T) {
	t.Helper()
	for tag, err := range m.a.MemoryRepository.Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.b.tag(tag), m.a.tag(tag); got != want {
			t.Errorf("%s is %q at the destination, want %s", tag, got, want)
		}
	}
	for _, image := range []contenttest.Image{m.image, m.sbom, m.ofChild, m.ofSBOM} {
		image.Check(t, m.b.MemoryRepository)
	}
}

// The same with two of three platforms.
func TestNothingToDoForASelection(t *testing.T) {
	index, children := threePlatforms()
	for name, test := range map[string]struct {
		names []string
		tags  int // that are looked at
	}{
		"several": {[]string{"linux/amd64", "linux/arm/v7", "linux/s390x"}, 1 + 1},
		"one":     {[]string{"linux/amd64"}, 1 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, memory := newMirror(t), newDiary()
			index.Push(t, m.a.MemoryRepository, "3")
			signature("index").Push(t, m.a.MemoryRepository, signatureTag(index.Digest()))
			kept := signature("kept")
			kept.Push(t, m.a.MemoryRepository, signatureTag(children[0].Digest()))
			j := withReferrers(job("a.test/app:3", "b.test/app:3"))
			j.Platforms = platforms(test.names...)
			first := m.next(t, memory.options(), j)
			if got := m.b.tag(signatureTag(children[0].Digest())); got != kept.Digest() {
				t.Errorf("the signature of the child that goes along is %q", got)
			}

			second := m.next(t, memory.options(), j)
			if !slices.Equal(first[0].Warnings, second[0].Warnings) || len(second[0].Warnings) != len(test.names)/2+1 {
				t.Errorf("warnings %q, and then %q", first[0].Warnings, second[0].Warnings)
			}
			if first[0].Digest != second[0].Digest || second[0].Destinations[0].Action != ActionUnchanged {
				t.Errorf("%s, then %s %s", first[0].Digest, second[0].Destinations[0].Action, second[0].Digest)
			}
			requireCounts(t, "source", m.a, map[string]int{"resolve": test.tags, "list": 1, "manifest": 0, "fetch": 0})
			requireCounts(t, "destination", m.b, map[string]int{"resolve": test.tags, "manifest": 0, "put": 0})

			j.RequirePlatforms = true
			results := run(t, New(m.world, memory.options()), j)
			if err := results[0].Err(); errors.Is(err, ErrNoPlatform) != (len(test.names) == 3) {
				t.Errorf("with all platforms required: %v", err)
			}
		})
	}
}

// An image that is in no index tells what it is not, every night, and is read in none but
// the first.
func TestNothingToDoForASingleImage(t *testing.T) {
	w, memory := newWorld(), newDiary()
	contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10)).Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app:1")
	j.Platforms = platforms("linux/amd64", "linux/arm64")
	first := run(t, New(w, memory.options()), j)
	w.at("a.test/app").forget()
	second := run(t, New(w, memory.options()), j)
	ok(t, second...)
	if len(first[0].Warnings) != 1 || !slices.Equal(first[0].Warnings, second[0].Warnings) {
		t.Errorf("warnings %q, and then %q", first[0].Warnings, second[0].Warnings)
	}
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"resolve": 1, "manifest": 0, "fetch": 0})
}

// A memory that is wrong costs requests, and nothing else.
func TestSelectionThatIsRememberedWrongly(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	j := withReferrers(job("a.test/app:1", "b.test/app:1"))
	j.Platforms = platforms("linux/arm64")
	stray := contenttest.NewImage("linux/arm64", contenttest.NewLayer("stray", 10))
	stray.Push(t, m.a.MemoryRepository, "")
	memory.KeepSelected(m.image.Digest(), j.platformsKey(), stray.Descriptor(), nil)
	memory.KeepChildren(m.image.Digest(), []digest.Digest{stray.Digest()})
	memory.KeepSelected(m.a.listAt(m.image.Digest()).Digest, mergedKey(m.b.Location()), stray.Descriptor(), nil)
	for range 2 {
		m.next(t, memory.options(), j)
		if got, want := m.b.tag("1"), m.image.Children[1].Digest(); got != want {
			t.Fatalf("the tag is %s, want %s", got, want)
		}
	}
	m.next(t, memory.options(), m.jobs()...)
	m.everythingIsThere(t)
	memory.KeepSelected(m.image.Digest(), j.platformsKey(), content.Descriptor{Digest: "no digest"}, nil)
	m.next(t, memory.options(), j)
	if got, want := m.b.tag("1"), m.image.Children[1].Digest(); got != want {
		t.Fatalf("the tag is %s, want %s", got, want)
	}
}

// Selections that give different images, or may end differently, have different names.
func TestPlatformsKey(t *testing.T) {
	keys := map[string]bool{}
	for _, names := range [][]string{{"linux/amd64"}, {"linux/arm64"}, {"linux/amd64", "linux/arm64"}, {"linux/arm64", "linux/amd64"}} {
		for _, require := range []bool{false, true} {
			keys[Job{Platforms: platforms(names...), RequirePlatforms: require}.platformsKey()] = true
		}
	}
	if len(keys) != 8 {
		t.Errorf("%d keys for 8 selections: %v", len(keys), keys)
	}
}

// A signature and a referrer are made after the image was mirrored: they arrive, and of the
// image nothing moves. The plan says so before.
func TestMadeSinceArrives(t *testing.T) {
	for name, remembered := range map[string]*diary{"with a memory": newDiary(), "without one": nil} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			m.next(t, remembered.options(), m.jobs()...)
			late := sbom(m.image, "late")
			late.Push(t, m.a.MemoryRepository, "")
			tagLists(t, m.a, m.sbom)
			appendToList(t, m.a, m.sbom, late)
			second := signature("a second one")
			second.Push(t, m.a.MemoryRepository, signatureTag(m.image.Children[1].Digest()))

			if got := m.planned(t, remembered.options(), m.jobs()[0]); got != 2 {
				t.Errorf("the plan says that %d are lacking, want 2", got)
			}
			m.a.forget()
			m.b.forget()
			e := New(m.world, remembered.options())
			results := run(t, e, m.jobs()...)
			ok(t, results...)
			if got := brought(results); got != 2 {
				t.Errorf("%d were brought, want 2", got)
			}
			late.Check(t, m.b.MemoryRepository)
			m.everythingIsThere(t)
			if got, want := e.Counters.Sent.Load(), int64(200+50); got != want {
				t.Errorf("%d bytes sent, want the %d of the two new blobs", got, want)
			}
			for _, child := range m.image.Children {
				for _, blob := range child.Blobs {
					if got := m.a.times("fetch " + blob.Descriptor.Digest.String()); got != 0 {
						t.Errorf("a blob of the image was fetched")
					}
				}
			}
			m.next(t, remembered.options(), m.jobs()...)
			requireCounts(t, "the next night, source", m.a, map[string]int{"manifest": 0})
			requireCounts(t, "the next night, destination", m.b, map[string]int{"put": 0})
		})
	}
}

// appendToList writes the list of the subject of several referrers.
func appendToList(t *testing.T, at *wire, referrers ...contenttest.Image) {
	t.Helper()
	var entries []content.Descriptor
	var subject digest.Digest
	for _, r := range referrers {
		m, err := content.ParseManifest(r.Descriptor(), r.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		entries, subject = append(entries, m.Referrer()), m.Subject.Digest
	}
	list, err := newReferrerList(subject, entries)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at.MemoryRepository.PushManifest(t.Context(), list.descriptor, list.raw, content.FallbackTag(subject)); err != nil {
		t.Fatal(err)
	}
}

// Where the destination has referrers of its own its list stays another than the source's:
// it is compared once and remembered.
func TestMergedListIsRemembered(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	m.image.Push(t, m.b.MemoryRepository, "1")
	theirs := sbom(m.image, "theirs")
	theirs.Push(t, m.b.MemoryRepository, "")
	tagLists(t, m.b, theirs)
	j := m.jobs()[0]
	m.next(t, memory.options(), j)
	requireListed(t, m.b, theirs)
	requireListed(t, m.b, m.sbom)
	for night := range 2 {
		results := m.next(t, memory.options(), j)
		if brought(results) != 0 {
			t.Errorf("night %d: %d are brought again", night, brought(results))
		}
		requireCounts(t, "source", m.a, map[string]int{"manifest": 0})
		requireCounts(t, "destination", m.b, map[string]int{"manifest": 0, "put": 0})
	}
	requireListed(t, m.b, theirs)
}

// The destination's list has lost an entry, or the manifest of one: both are mended.
func TestLostReferrerIsMended(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	other := sbom(m.image, "another")
	other.Push(t, m.a.MemoryRepository, "")
	appendToList(t, m.a, m.sbom, other)
	j := m.jobs()[0]
	m.next(t, memory.options(), j)
	want := m.b.listAt(m.image.Digest()).Digest

	tagLists(t, m.b, other)
	if err := m.b.Delete(t.Context(), m.sbom.Digest().String()); err != nil {
		t.Fatal(err)
	}
	if got := m.planned(t, memory.options(), j); got != 1 {
		t.Errorf("the plan says that %d are lacking, want 1", got)
	}
	m.next(t, memory.options(), j)
	if got := m.b.listAt(m.image.Digest()).Digest; got != want {
		t.Errorf("the list is %s, want that of the source, %s", got, want)
	}
	m.sbom.Check(t, m.b.MemoryRepository)
}

// Where the source serves the referrers API, an unchanged image costs one request, and the
// destination is asked only if the source has something.
func TestReferrersAPIOfAnUnchangedImage(t *testing.T) {
	for _, test := range []struct {
		name        string
		referrers   int
		destination bool // serves the API
		onCopy      bool
		want        [2]int // requests for referrers at each side
	}{
		{"none", 0, true, false, [2]int{1, 0}},
		{"some, both serve it", 2, true, false, [2]int{1, 1}},
		{"some, the destination does not", 2, false, false, [2]int{1, 1}},
		{"only of what is copied", 2, true, true, [2]int{0, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			b.noReferrers = !test.destination
			image := twoPlatforms("")
			image.Push(t, a.MemoryRepository, "1")
			for i := range test.referrers {
				sbom(image, fmt.Sprint(i)).Push(t, a.MemoryRepository, "")
			}
			j := withReferrers(job("a.test/app:1", "b.test/app:1"))
			j.ReferrersOnCopy = test.onCopy
			if got := brought(run(t, New(w, Options{}), j)); got != test.referrers {
				t.Errorf("%d are brought, want %d", got, test.referrers)
			}
			a.forget()
			b.forget()
			if got := brought(run(t, New(w, Options{}), j)); got != 0 {
				t.Errorf("%d are brought again", got)
			}
			for i, wire := range []*wire{a, b} {
				requireCounts(t, wire.Location().String(), wire, map[string]int{"referrers": test.want[i], "manifest": 0, "put": 0})
			}
		})
	}
}

// Only some types go along: the list of those is one of its own.
func TestReferrerTypes(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	subject := m.image.Descriptor()
	scan := contenttest.NewArtifact("application/vnd.example.scan", &subject, contenttest.NewLayer("scan", 20))
	scan.Push(t, m.a.MemoryRepository, "")
	appendToList(t, m.a, m.sbom, scan)
	attestation := signature("attestation")
	attestation.Push(t, m.a.MemoryRepository, content.FallbackTag(m.image.Digest())+".att")
	j := m.jobs()[0]
	j.ReferrerTypes = []string{"application/vnd.example.scan", "application/vnd.dev.cosign.artifact.att.v1+json"}
	if got := brought(m.next(t, memory.options(), j)); got != 2 {
		t.Errorf("%d are brought, want 2", got)
	}
	scan.Check(t, m.b.MemoryRepository)
	if got := m.b.tag(content.FallbackTag(m.image.Digest()) + ".att"); got != attestation.Digest() {
		t.Errorf("the attestation is %q", got)
	}
	if got := m.b.tag(signatureTag(m.image.Digest())); got != "" {
		t.Errorf("a signature came along: %s", got)
	}
	if _, err := m.b.MemoryRepository.Resolve(t.Context(), m.sbom.Digest().String()); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("an SBOM came along: %v", err)
	}
	m.next(t, memory.options(), j)
	requireCounts(t, "source", m.a, map[string]int{"manifest": 0})
	requireCounts(t, "destination", m.b, map[string]int{"manifest": 0, "put": 0})
}

// Three tags of one image: its signatures are put once, after it and before the tags.
// Harbor refuses a signature of what it does not have.
func TestSignaturesArePutOnceAndInOrder(t *testing.T) {
	m := newMirror(t)
	m.b.onPushManifest = func(_ content.Descriptor, tag string) error {
		name, isSignature := strings.CutSuffix(tag, ".sig")
		if _, err := m.b.MemoryRepository.Resolve(t.Context(), strings.Replace(name, "-", ":", 1)); isSignature && err != nil {
			return err
		}
		return nil
	}
	m.image.Push(t, m.a.MemoryRepository, "stable")
	m.next(t, Options{}, append(m.jobs(), withReferrers(job("a.test/app:stable", "b.test/app:stable")))...)
	counts := map[string]int{}
	puts := m.b.putNames()
	for i, name := range puts {
		if counts[name]++; counts[name] > 1 {
			t.Errorf("%s is put twice: %v", name, puts)
		}
		if name == "1" && !slices.Contains(puts[:i], signatureTag(m.image.Digest())) {
			t.Errorf("the tag is put before the signature: %v", puts)
		}
	}
	signed := signatureTag(m.image.Digest())
	requireCounts(t, "destination", m.b, map[string]int{"resolve " + signed: 0})
	requireCounts(t, "source", m.a, map[string]int{"resolve " + signed: 0, "pull " + signed: 1})
}

// A tag is added for an image that is there with its signature, in a registry where tags
// do not change: what is there is not put again.
func TestSignatureThatIsThereIsNotPutAgain(t *testing.T) {
	m := newMirror(t)
	m.next(t, Options{}, m.jobs()[0])
	m.b.onPushManifest = func(_ content.Descriptor, tag string) error {
		if tag != "" && m.b.tag(tag) != "" {
			return content.ErrDenied
		}
		return nil
	}
	results := m.next(t, Options{}, m.jobs()[1])
	if got := m.b.tag("latest"); got != m.image.Digest() {
		t.Errorf("the tag is %q: %v", got, results[0].Err())
	}
}

// A destination that cannot be asked for what is attached fails alone.
func TestAttachmentsAtABrokenDestination(t *testing.T) {
	m := newMirror(t)
	c := m.world.at("c.test/app")
	j := withReferrers(job("a.test/app:1", "b.test/app:1", "c.test/app:1"))
	m.next(t, Options{}, j)
	second := signature("second")
	second.Push(t, m.a.MemoryRepository, signatureTag(m.image.Digest()))
	m.b.onResolve = func(reference string) error {
		if strings.HasPrefix(reference, "sha256-") {
			return content.ErrDenied
		}
		return nil
	}
	got := run(t, New(m.world, Options{}), j)[0].Destinations
	side, isSided := errors.AsType[*Error](got[0].Err)
	if !isSided || side.Side != SideDestination || side.Reference.Registry != "b.test" || !errors.Is(got[0].Err, content.ErrDenied) {
		t.Errorf("got %v, want a denial by b.test", got[0].Err)
	}
	if got[1].Err != nil || c.tag(signatureTag(m.image.Digest())) != second.Digest() {
		t.Errorf("the other destination did not get the signature: %v", got[1].Err)
	}
}

// Somebody has listed the repository already.
func TestListingThatIsKnownIsNotMadeAgain(t *testing.T) {
	m := newMirror(t)
	tag := signatureTag(m.image.Digest())
	options := Options{AttachedTags: func(at content.Location) ([]string, bool) {
		return []string{tag}, at == m.a.Location()
	}}
	if got := brought(m.next(t, options, m.jobs()[0])); got != 1 {
		t.Errorf("%d are brought, want what was listed", got)
	}
	requireCounts(t, "source", m.a, map[string]int{"list": 0})
}

// Tools that delete referrers leave an empty list: it is read once, and no list is made for it.
func TestEmptyListOfReferrers(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	child := m.image.Children[0].Digest()
	empty, err := newReferrerList(child, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.a.MemoryRepository.PushManifest(t.Context(), empty.descriptor, empty.raw, content.FallbackTag(child)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m.next(t, memory.options(), m.jobs()[0])
	}
	requireCounts(t, "source", m.a, map[string]int{"manifest": 0})
	if got := m.b.tag(content.FallbackTag(child)); got != "" {
		t.Errorf("a list %s was made of nothing", got)
	}
}
