package ui

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// registryError has what the errors of a registry say by their methods.
type registryError struct {
	host   string
	code   string
	http   int
	reason string
}

func (e *registryError) Error() string        { return "PUT /v2/hub/redis/manifests/7.2: " + e.reason }
func (e *registryError) Reason() string       { return e.reason }
func (e *registryError) RegistryHost() string { return e.host }
func (e *registryError) ErrorCode() string    { return e.code }
func (e *registryError) HTTPStatus() int      { return e.http }

var (
	errReset  = errors.New("read tcp: connection reset by peer")
	errDenied = &registryError{
		"harbor.corp:5443", "DENIED", http.StatusForbidden,
		"403 DENIED: robot may not push\r\n\x1b[2J\x1b]0;owned\x07",
	}
)

func hintFor(err error) string {
	if errors.Is(err, errDenied) {
		return "another account: regsync login harbor.corp:5443"
	}
	return ""
}

func ref(t testing.TB, s string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// blob is a layer that is named by a number, config a configuration.
func blob(n int, size int64) content.Descriptor {
	return content.Descriptor{
		MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint("blob ", n)), Size: size,
	}
}

func config(n int) content.Descriptor {
	d := blob(n, 1500)
	d.MediaType = v1.MediaTypeImageConfig
	return d
}

func manifest(n int) content.Descriptor {
	return content.Descriptor{
		MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint("manifest ", n)), Size: 1234,
	}
}

// story is a run as the engine tells it: nginx is new and moves three blobs, one of which
// breaks once; alpine is moved and all of it is mounted; busybox is right already; redis
// may not be pushed; ghost is not there.
type story struct {
	t       testing.TB
	observe func(transfer.Event)
	results []*transfer.Result
}

func (s *story) job(from, to string) transfer.Job {
	return transfer.Job{Entry: "web", Source: ref(s.t, from), Destinations: []reference.Reference{ref(s.t, to)}}
}

func (s *story) plan(job transfer.Job, n int, action transfer.Action, blobs ...content.Descriptor) *transfer.Plan {
	p := &transfer.Plan{Job: job, Source: manifest(n), Image: manifest(n)}
	to := transfer.DestinationPlan{Reference: job.Destinations[0], Action: action, Blobs: blobs}
	if action == transfer.ActionMove {
		to.Previous = manifest(n + 100).Digest
	}
	p.Destinations = append(p.Destinations, to)
	return p
}

// move sends the bytes of a blob in steps of a tenth of a second.
func (s *story) move(to reference.Reference, d content.Descriptor, steps int) {
	p := &transfer.Progress{Total: d.Size}
	s.observe(transfer.BlobStarted{Destination: to, Descriptor: d, Progress: p})
	for i := range steps {
		time.Sleep(drawEvery)
		p.Add(d.Size*int64(i+1)/int64(steps) - p.Done())
	}
	s.observe(transfer.BlobDone{Destination: to, Descriptor: d, Outcome: transfer.BlobSent})
}

// breakOff moves half of a blob, fails, and waits.
func (s *story) breakOff(to reference.Reference, d content.Descriptor, wait time.Duration) {
	p := &transfer.Progress{Total: d.Size}
	s.observe(transfer.BlobStarted{Destination: to, Descriptor: d, Progress: p})
	time.Sleep(5 * drawEvery)
	p.Add(d.Size / 2)
	time.Sleep(5 * drawEvery)
	p.Add(-d.Size / 2)
	s.observe(transfer.BlobRetrying{Destination: to, Descriptor: d, Attempt: 1, Wait: wait, Err: errReset})
	time.Sleep(wait)
	p.Add(d.Size)
	s.observe(transfer.BlobDone{Destination: to, Descriptor: d, Outcome: transfer.BlobSent})
}

func (s *story) done(p *transfer.Plan, n int, err error, warnings ...warning.Warning) {
	to := p.Destinations[0]
	r := transfer.DestinationResult{Reference: to.Reference, Action: to.Action, Previous: to.Previous, Err: err}
	if err == nil {
		r.Digest = manifest(n).Digest
	}
	s.observe(transfer.DestinationDone{Job: p.Job, Result: r})
	s.end(&transfer.Result{
		Job: p.Job, Digest: manifest(n).Digest, Destinations: []transfer.DestinationResult{r},
		Warnings: warnings, Elapsed: 3200 * time.Millisecond,
	})
}

func (s *story) end(r *transfer.Result) {
	for _, w := range r.Warnings {
		s.observe(transfer.Warned{Source: r.Job.Source, Warning: w})
	}
	s.results = append(s.results, r)
	s.observe(transfer.JobDone{Result: r})
}

// off keeps what is told apart from the moments at which views look.
func (s *story) off() { time.Sleep(37 * time.Millisecond) }

// tell plays the whole story; it takes about 7 seconds.
func (s *story) tell() {
	s.off()
	s.busybox()
	s.nginx()
	s.alpine()
	s.redis()
	s.ghost()
}

func (s *story) busybox() {
	p := s.plan(s.job("busybox:1.36", "harbor.corp:5443/hub/busybox:1.36"), 3, transfer.ActionUnchanged)
	s.observe(transfer.Planned{Plan: p})
	s.done(p, 3, nil)
}

func (s *story) nginx() {
	job := s.job("nginx:1.25", "harbor.corp:5443/hub/nginx:1.25")
	p := s.plan(job, 1, transfer.ActionAdd, blob(1, 40e6), blob(2, 12_345_678), blob(3, 600), config(4))
	to := job.Destinations[0]
	s.observe(transfer.Planned{Plan: p})
	s.observe(transfer.BlobDone{Destination: to, Descriptor: blob(3, 600), Outcome: transfer.BlobExists})
	s.move(to, config(4), 1)
	s.move(to, blob(1, 40e6), 40)
	s.breakOff(to, blob(2, 12_345_678), 2*time.Second)
	s.observe(transfer.ManifestPushed{Destination: to, Descriptor: manifest(1), Tag: "1.25"})
	s.done(p, 1, nil, warning.Warning{Err: errors.New("the tag moved\nwhile it was copied")})
}

func (s *story) alpine() {
	job := s.job("alpine:3", "harbor.corp:5443/hub/alpine:3")
	p := s.plan(job, 2, transfer.ActionMove, blob(5, 3_400_000), config(6))
	to := job.Destinations[0]
	s.observe(transfer.Planned{Plan: p})
	for _, d := range p.Destinations[0].Blobs {
		s.observe(transfer.BlobDone{Destination: to, Descriptor: d, Outcome: transfer.BlobMounted, From: "library/alpine"})
	}
	s.observe(transfer.ManifestPushed{Destination: to, Descriptor: manifest(2), Tag: "3"})
	s.done(p, 2, nil)
}

func (s *story) redis() {
	job := s.job("redis:7.2", "harbor.corp:5443/hub/redis:7.2")
	p := s.plan(job, 7, transfer.ActionAdd, blob(5, 3_400_000))
	s.observe(transfer.Planned{Plan: p})
	s.done(p, 7, &transfer.Error{Side: transfer.SideDestination, Reference: job.Destinations[0], Err: errDenied})
}

func (s *story) ghost() {
	job := s.job("ghost:0", "harbor.corp:5443/hub/ghost:0")
	err := &transfer.Error{Side: transfer.SideSource, Reference: job.Source, Err: content.ErrNotFound}
	r := transfer.DestinationResult{Reference: job.Destinations[0], Action: transfer.ActionNone, Err: err}
	s.observe(transfer.DestinationDone{Job: job, Result: r})
	s.end(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{r}})
}
