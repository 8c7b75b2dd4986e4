package transfer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// diary is a SelectionMemory and a ChildMemory.
type diary struct {
	mu       sync.Mutex
	selected map[string]selected
	children map[digest.Digest][]digest.Digest
}

type selected struct {
	image    content.Descriptor
	warnings []warning.Warning
}

func newDiary() *diary {
	return &diary{selected: map[string]selected{}, children: map[digest.Digest][]digest.Digest{}}
}

func (m *diary) Selected(source digest.Digest, selection string) (content.Descriptor, []warning.Warning, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.selected[source.String()+" "+selection]
	return s.image, s.warnings, known
}

func (m *diary) KeepSelected(source digest.Digest, selection string, image content.Descriptor, warnings []warning.Warning) {
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
	options.AttachedTags = m.world.attachedTags
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
	options.AttachedTags = m.world.attachedTags
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
// look for each tag at each side, nothing read.
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
			requireCounts(t, "source", m.a, map[string]int{"resolve": tags, "list": 0, "manifest": 0, "fetch": 0, "referrers": 3})
			requireCounts(t, "destination", m.b, map[string]int{"resolve": tags, "list": 0, "put": 0, "probe": 0, "has": 0})
			once(t, "source", m.a)
			once(t, "destination", m.b)
			if got := m.b.times("manifest"); remembered != nil && got != 0 || got > 4 {
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

// Where the source serves the referrers API, an unchanged image costs one request for each of its
// manifests, and the destination is asked only if the source has something.
func TestReferrersAPIOfAnUnchangedImage(t *testing.T) {
	for _, test := range []struct {
		name        string
		referrers   int
		destination bool // serves the API
		onCopy      bool
		want        [2]int // requests for referrers at each side
	}{
		{"none", 0, true, false, [2]int{3, 0}},
		{"some, both serve it", 2, true, false, [2]int{3, 1}},
		{"some, the destination does not", 2, false, false, [2]int{3, 1}},
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
			memory := newDiary()
			if got := brought(run(t, New(w, memory.options()), j)); got != test.referrers {
				t.Errorf("%d are brought, want %d", got, test.referrers)
			}
			a.forget()
			b.forget()
			if got := brought(run(t, New(w, memory.options()), j)); got != 0 {
				t.Errorf("%d are brought again", got)
			}
			for i, wire := range []*wire{a, b} {
				requireCounts(t, wire.Location().String(), wire, map[string]int{"referrers": test.want[i], "manifest": 0, "put": 0})
			}
		})
	}
}

// Somebody has listed the repository already.
func TestListingThatIsKnownIsNotMadeAgain(t *testing.T) {
	m := newMirror(t)
	tag := signatureTag(m.image.Digest())
	options := Options{AttachedTags: func(at content.Location) ([]string, bool) {
		return []string{tag}, at == m.a.Location()
	}}
	results := run(t, New(m.world, options), m.jobs()[0])
	if ok(t, results...); brought(results) != 1 {
		t.Errorf("%d are brought, want what was listed", brought(results))
	}
	requireCounts(t, "source", m.a, map[string]int{"list": 0})
}

// Of two destinations one has the image and all that belongs to it, the other nothing.
func TestPlanTellsDestinationsApart(t *testing.T) {
	m := newMirror(t)
	m.next(t, Options{}, m.jobs()...)
	j := withReferrers(job("a.test/app:1", "b.test/app:1", "c.test/app:1"))
	for plan, err := range New(m.world, Options{}).Plan(t.Context(), slices.Values([]Job{j})) {
		if err != nil {
			t.Fatal(err)
		}
		if b, c := plan.Destinations[0], plan.Destinations[1]; b.Referrers != 0 || c.Referrers != m.attachments || len(plan.Referrers) != m.attachments {
			t.Errorf("%d lack at the first, %d at the second, and the source has %d", b.Referrers, c.Referrers, len(plan.Referrers))
		}
	}
	if got := brought(m.next(t, Options{}, j)); got != m.attachments {
		t.Errorf("%d are brought, want %d", got, m.attachments)
	}
	requireCounts(t, "the first", m.b, map[string]int{"put": 0})
}
