package lab

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Body is the body of a blob or of a manifest, or what is left of it, that a proxy is about to pass.
type Body struct {
	// Name is the path that it is asked for by, or the digest that it is sent for.
	Name     string
	Manifest bool
	Sent     bool  // by the client; otherwise received
	Length   int64 // in bytes; -1 if unknown
}

// Fault is what becomes of a body at one of its bytes.
type Fault int

// The faults.
const (
	Whole Fault = iota // none
	Break              // the connection breaks before the byte
	Stall              // nothing more passes, but the connection stays open
	Flip               // the byte arrives with another value
)

// Refuse answers requests itself with the status that choose returns; it passes those for which that is 0.
func (p *Proxy) Refuse(choose func() (status int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = choose
}

func (p *Proxy) refuses() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse == nil {
		return 0
	}
	return p.refuse()
}

// Spoil spoils bodies: choose returns the fault of one, and the byte where it happens. It is not called
// concurrently.
func (p *Proxy) Spoil(choose func(Body) (Fault, int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil = choose
}

// Cut breaks the connection of each body of a blob of at least so many bytes once, in the middle: when
// the client sends it and when it receives it.
func (p *Proxy) Cut(from int64) {
	cut := map[Body]bool{}
	p.Spoil(func(b Body) (Fault, int64) {
		at := b.Length / 2
		enough := b.Length >= from
		if b.Length = 0; !enough || b.Manifest || cut[b] {
			return Whole, 0
		}
		cut[b] = true
		return Break, at
	})
}

func (p *Proxy) spoiler(r *http.Request, sent bool, length int64) spoiler {
	p.mu.Lock()
	defer p.mu.Unlock()
	manifest := strings.Contains(r.URL.Path, "/manifests/")
	if p.spoil == nil || length == 0 || !manifest && !strings.Contains(r.URL.Path, "/blobs/") {
		return spoiler{}
	}
	name := r.URL.Path
	if digest := r.URL.Query().Get("digest"); digest != "" {
		name = digest
	}
	fault, at := p.spoil(Body{Name: name, Manifest: manifest, Sent: sent, Length: length})
	return spoiler{fault, at}
}

// spoiler spoils a body.
type spoiler struct {
	fault Fault
	left  int64 // bytes until then
}

// ends reports whether the body ends here.
func (s *spoiler) ends() bool { return s.left == 0 && (s.fault == Break || s.fault == Stall) }

// over reports whether the body ends here. One that stalls ends with ctx.
func (s *spoiler) over(ctx context.Context) bool {
	if s.ends() && s.fault == Stall {
		<-ctx.Done()
	}
	return s.ends()
}

// before is the part of p that may still pass.
func (s *spoiler) before(p []byte) []byte {
	if s.fault == Break || s.fault == Stall {
		return p[:min(int64(len(p)), s.left)]
	}
	return p
}

// passed spoils and counts bytes that pass.
func (s *spoiler) passed(p []byte) {
	if s.fault == Flip && s.left < int64(len(p)) {
		p[s.left] ^= 1
		s.fault = Whole
	}
	s.left -= min(int64(len(p)), s.left)
}

var errCut = errors.New("the connection is cut")
