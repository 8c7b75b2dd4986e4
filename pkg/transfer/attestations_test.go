package transfer

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// attested is an index of two platforms with an attestation for each.
func attested(seed uint64) *registrytest.Fixture {
	amd64 := registrytest.Image(registrytest.ImageSpec{Seed: seed, Platform: "linux/amd64"})
	arm64 := registrytest.Image(registrytest.ImageSpec{Seed: seed + 1, Platform: "linux/arm64"})
	return registrytest.Index(registrytest.IndexSpec{}, amd64, arm64, registrytest.Attestation(amd64), registrytest.Attestation(arm64))
}

// childrenOf are the children of the index under a tag of app.
func childrenOf(t *testing.T, s *registrytest.Server, tag string) []content.Descriptor {
	t.Helper()
	raw, mediaType := s.Manifest("app", tag)
	m, err := content.ParseManifest(content.NewDescriptor(mediaType, raw), raw)
	if err != nil {
		t.Fatal(err)
	}
	return m.Manifests
}

// A registry that accepts only images, as Aliyun ACR's Personal Edition answers, gets the indexes of BuildKit without their
// attestations; the platforms keep their digests. The run says it once. The next run finds everything up to date with the
// usual requests, and a later image does not provoke the refusal again, until everything is checked again.
func TestRegistryThatRefusesAttestations(t *testing.T) {
	const images = 12
	a, b := registrytest.New(t), registrytest.New(t, registrytest.With(registrytest.ImagesOnly))
	refusals := 0
	var jobs []Job
	for i := range images {
		tag := fmt.Sprint(i)
		a.Push("app", tag, attested(uint64(10*i)))
		jobs = append(jobs, job(a.Host()+"/app:"+tag, b.Host()+"/app:"+tag))
	}
	client := registry.New(registry.Options{CertsDirs: []string{}})
	defer client.Close()
	memory, diary := &abilities{}, newDiary()
	var told []warning.Warning
	next := func(recheck bool, jobs ...Job) []*Result {
		t.Helper()
		told = nil
		before := len(b.Log())
		options := diary.options()
		options.Abilities, options.Recheck, options.Window = memory, recheck, 1
		options.Observe = func(e Event) {
			if w, is := e.(Warned); is {
				told = append(told, w.Warning)
			}
		}
		results := run(t, New(registries{client}, options), jobs...)
		refusals = 0
		for _, request := range b.Log()[before:] {
			if request.Status == http.StatusForbidden {
				refusals++
			}
		}
		return results
	}

	for _, r := range next(false, jobs...) {
		d := r.Destinations[0]
		if d.Err != nil || d.Action != ActionAdd || !d.WithoutAttestations {
			t.Errorf("%s: %+v, want it copied without attestations", r.Job.Source.Familiar(), d)
		}
		tag, wanted := r.Job.Source.Tag, map[string]bool{}
		for _, child := range childrenOf(t, a, tag) {
			wanted[child.Digest.String()] = !content.IsAttestation(child)
		}
		children := childrenOf(t, b, tag)
		if len(children) != 2 || !wanted[children[0].Digest.String()] || !wanted[children[1].Digest.String()] || b.Complete("app", tag) != nil {
			t.Errorf("%s has the children %v, want the two platforms with their digests", tag, children)
		}
	}
	if want := (warning.Warning{Kind: warning.AttestationsRefused, Registry: b.Host(), Count: images}); len(told) != 1 || !told[0].Equal(want) {
		t.Errorf("the run says %+v, want once %+v", told, want)
	}
	if refusals == 0 || refusals > 2 {
		t.Errorf("%d refusals, want those of one image", refusals)
	}

	before := [2]int{len(a.Log()), len(b.Log())}
	for _, r := range next(false, jobs...) {
		if d := r.Destinations[0]; d.Err != nil || d.Action != ActionUnchanged {
			t.Errorf("the second run: %s: %+v, want it unchanged", r.Job.Source.Familiar(), d)
		}
	}
	if asked := [2]int{len(a.Log()) - before[0], len(b.Log()) - before[1]}; asked != [2]int{images, images} || len(told) > 0 {
		t.Errorf("the second run: %v requests and %v, want %d at each side and no warning", asked, told, images)
	}

	a.Push("app", "later", attested(900))
	later := job(a.Host()+"/app:later", b.Host()+"/app:later")
	ok(t, next(false, later)...)
	if refusals > 0 || len(told) != 1 || told[0].Count != 1 {
		t.Errorf("a later image: %d refusals and %+v, want none and one image", refusals, told)
	}

	kept := later
	kept.Attestations = AttestationsKeep
	if err := next(false, kept)[0].Err(); !errors.Is(err, content.ErrImagesOnly) || errors.Is(err, content.ErrDenied) {
		t.Errorf("keep: %v, want a refusal that is not about the account", err)
	}

	if d := next(true, later)[0].Destinations[0]; d.Err != nil || d.Action != ActionUnchanged || refusals > 0 {
		t.Errorf("checked again: %+v after %d refusals, want it unchanged", d, refusals)
	}
	open := registrytest.New(t)
	memory.KeepAbility(open.Host(), abilityAttestations, attestationsRefused)
	moved := job(a.Host()+"/app:later", open.Host()+"/app:later")
	if d := next(false, moved)[0].Destinations[0]; !d.WithoutAttestations {
		t.Errorf("a remembered refusal: %+v, want no attestations", d)
	}
	whole := job(a.Host()+"/app:later", open.Host()+"/app:whole")
	if d := next(true, whole)[0].Destinations[0]; d.Err != nil || d.WithoutAttestations || d.Action != ActionAdd {
		t.Errorf("a registry that accepts them now: %+v, want the whole index", d)
	}
	for _, r := range next(false, moved, whole) {
		if d := r.Destinations[0]; d.Action != ActionUnchanged {
			t.Errorf("the run after that: %+v, want it unchanged", d)
		}
	}
}

// A complete index was rewritten without its attestations because the registry was remembered as one that refuses them, and
// one without them looked wrong as soon as the memory had expired. Both are up to date, whatever the registry is known to do.
func TestIndexWithOrWithoutAttestationsIsUpToDate(t *testing.T) {
	for name, change := range map[string]func(*Job, *Options){
		"always":    func(*Job, *Options) {},
		"immutable": func(j *Job, _ *Options) { j.Immutable = true },
		"never":     func(j *Job, _ *Options) { j.Overwrite = OverwriteNever },
		"newer":     func(j *Job, _ *Options) { j.Overwrite = OverwriteNewer },
		"recheck":   func(_ *Job, o *Options) { o.Recheck = true },
		"no state": func(_ *Job, o *Options) {
			o.Selections, o.Children = nil, nil
		},
		"two platforms": func(j *Job, _ *Options) { j.Platforms = platforms("linux/amd64", "linux/arm64") },
	} {
		for _, without := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " without: ", without), func(t *testing.T) {
				a, b := registrytest.New(t), registrytest.New(t)
				a.Push("app", "1", attested(1))
				client := registry.New(registry.Options{CertsDirs: []string{}})
				defer client.Close()
				diary, memory := newDiary(), &abilities{}
				j := job(a.Host()+"/app:1", b.Host()+"/app:1")
				options := diary.options()
				change(&j, &options)
				options.Abilities = memory
				first := options
				first.Recheck = false
				if without {
					memory.KeepAbility(b.Host(), abilityAttestations, attestationsRefused)
				}
				d := run(t, New(registries{client}, first), j)[0].Destinations[0]
				if d.Err != nil || d.WithoutAttestations != without {
					t.Fatalf("the first run: %+v", d)
				}
				seen := map[bool]string{true: attestationsAccepted, false: attestationsRefused}[without]
				memory.KeepAbility(b.Host(), abilityAttestations, seen)
				if again := run(t, New(registries{client}, options), j)[0].Destinations[0]; again.Err != nil || again.Action != ActionUnchanged || again.Digest != d.Digest {
					t.Errorf("the second run: %+v, want %s unchanged", again, d.Digest)
				}
			})
		}
	}
}

// While 100 images were open at a time, each of 19 provoked the refusal of its attestations.
func TestFewRefusalsOfAttestations(t *testing.T) {
	a, b := registrytest.New(t), registrytest.New(t, registrytest.With(registrytest.ImagesOnly))
	var jobs []Job
	for i := range 100 {
		tag := fmt.Sprint(i)
		a.Push("app", tag, attested(uint64(10*i)))
		jobs = append(jobs, job(a.Host()+"/app:"+tag, b.Host()+"/app:"+tag))
	}
	client := registry.New(registry.Options{CertsDirs: []string{}})
	defer client.Close()
	for _, r := range run(t, New(registries{client}, Options{}), jobs...) {
		if d := r.Destinations[0]; d.Err != nil || !d.WithoutAttestations {
			t.Errorf("%s: %+v, want it copied without attestations", r.Job.Source.Familiar(), d)
		}
	}
	refusals := 0
	for _, request := range b.Log() {
		if request.Status == http.StatusForbidden {
			refusals++
		}
	}
	if refusals == 0 || refusals > 2 {
		t.Errorf("%d refusals for 100 images, want at most 2", refusals)
	}
}

// Once a registry has refused attestations, that it takes others does not matter for the rest of the run.
func TestRefusalOfAttestationsWins(t *testing.T) {
	memory := &abilities{}
	e := New(newWorld(), Options{Abilities: memory, Recheck: true})
	to := newWorld().at("b.test/app")
	e.attestations.accept(to)
	e.attestations.refuse(to)
	e.attestations.accept(to)
	e.attestations.keepAccepted()
	if seen, _ := memory.Ability("b.test", abilityAttestations); seen != attestationsRefused || !e.attestations.refused(to) {
		t.Errorf("%q is remembered, want the refusal", seen)
	}
}

// The first attempt failed for a passing cause: without attestations before the tag was written, or after it because of a
// referrer. The second attempt copies the rest, and the run reports one image without attestations.
func TestSecondAttemptWithoutAttestations(t *testing.T) {
	index, children := threePlatforms()
	m, err := content.ParseManifest(index.Descriptor(), index.Root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	inside := slices.DeleteFunc(slices.Clone(m.Manifests), func(d content.Descriptor) bool { return !content.IsAttestation(d) })
	signed := children[0].Descriptor()
	attached := contenttest.NewArtifact("application/x", &signed, contenttest.NewLayer("3", 50))
	for _, fails := range []string{"tag", "referrer"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			index.Push(t, a.MemoryRepository, "1")
			attached.Push(t, a.MemoryRepository, "")
			failed := false
			b.onPushManifest = func(d content.Descriptor, tag string) error {
				switch {
				case slices.ContainsFunc(inside, func(a content.Descriptor) bool { return a.Digest == d.Digest }):
					return content.ErrImagesOnly
				case !failed && (fails == "tag" && tag != "" || fails == "referrer" && d.Digest == attached.Digest()):
					failed = true
					return busy{}
				}
				return nil
			}
			var told []warning.Warning
			options := Options{Observe: func(e Event) {
				if w, is := e.(Warned); is && w.Warning.Kind == warning.AttestationsRefused {
					told = append(told, w.Warning)
				}
			}}
			d := run(t, New(w, options), withReferrers(job("a.test/app:1", "b.test/app:1")))[0].Destinations[0]
			if !failed || d.Err != nil || !d.WithoutAttestations || d.Action != ActionAdd || len(told) != 1 || told[0].Count != 1 {
				t.Errorf("the %s failed (%v): %+v with %v, want one image without attestations", fails, failed, d, told)
			}
		})
	}
}
