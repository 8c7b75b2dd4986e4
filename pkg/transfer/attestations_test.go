package transfer

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
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
		if d.Err != nil || d.Action != ActionAdd || !d.BareIndex {
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

	if d := next(true, later)[0].Destinations[0]; d.Err != nil || d.Action != ActionUnchanged || refusals == 0 {
		t.Errorf("checked again: %+v after %d refusals, want it unchanged", d, refusals)
	}
	open := registrytest.New(t)
	memory.KeepAbility(open.Host(), abilityAttestations, attestationsRefused)
	moved := job(a.Host()+"/app:later", open.Host()+"/app:later")
	if d := next(false, moved)[0].Destinations[0]; !d.BareIndex {
		t.Errorf("a remembered refusal: %+v, want no attestations", d)
	}
	if d := next(true, moved)[0].Destinations[0]; d.Err != nil || d.BareIndex || d.Action != ActionMove {
		t.Errorf("a registry that accepts them now: %+v, want the whole index", d)
	}
	if d := next(false, moved)[0].Destinations[0]; d.Action != ActionUnchanged {
		t.Errorf("the run after that: %+v, want it unchanged", d)
	}
}
