package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Push puts a fixture into a repository of the registry, past faults, accounts and the log.
// An empty tag puts it by digest alone.
func (s *Server) Push(repo, tag string, f *Fixture) {
	s.t.Helper()
	p := &pusher{&http.Client{Transport: direct{s.core}}, "http://registry.invalid"}
	if err := p.push(s.t.Context(), repo, tag, f); err != nil {
		s.t.Fatalf("push %s:%s: %v", repo, tag, err)
	}
}

// PushBlob puts a blob into a repository, in the same way, and returns its digest.
func (s *Server) PushBlob(repo string, raw []byte) digest.Digest {
	s.t.Helper()
	p := &pusher{&http.Client{Transport: direct{s.core}}, "http://registry.invalid"}
	d := digest.FromBytes(raw)
	if err := p.blob(s.t.Context(), repo, d, raw); err != nil {
		s.t.Fatalf("push blob to %s: %v", repo, err)
	}
	return d
}

// PushTo puts a fixture into any registry, over the network and with nothing but net/http.
// The address is "http://host:port" or, with Basic authentication,
// "http://user:password@host:port"; client may be nil.
func PushTo(t testing.TB, client *http.Client, address, repo, tag string, f *Fixture) {
	t.Helper()
	if client == nil {
		client = http.DefaultClient
	}
	p := &pusher{client, address}
	if err := p.push(t.Context(), repo, tag, f); err != nil {
		t.Fatalf("push %s:%s: %v", repo, tag, err)
	}
}

// pusher is a registry client as the specification has it, and no more.
type pusher struct {
	client  *http.Client
	address string
}

func (p *pusher) push(ctx context.Context, repo, tag string, f *Fixture) error {
	for _, child := range f.Children {
		if err := p.push(ctx, repo, "", child); err != nil {
			return err
		}
	}
	for d, raw := range f.Blobs {
		if err := p.blob(ctx, repo, d, raw); err != nil {
			return err
		}
	}
	if tag == "" {
		tag = f.Digest().String()
	}
	header := http.Header{"Content-Type": {f.Descriptor.MediaType}}
	_, err := p.do(ctx, http.MethodPut, p.address+manifestPath(repo, tag), header, f.Raw, http.StatusCreated)
	return err
}

func (p *pusher) blob(ctx context.Context, repo string, d digest.Digest, raw []byte) error {
	_, err := p.do(ctx, http.MethodHead, p.address+blobPath(repo, d), nil, nil, http.StatusOK)
	if err == nil {
		return nil
	}
	if _, answered := errors.AsType[unexpected](err); !answered {
		return err
	}
	location, err := p.do(ctx, http.MethodPost, p.address+"/v2/"+repo+"/blobs/uploads/", nil, nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", d.String())
	location.RawQuery = query.Encode()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	_, err = p.do(ctx, http.MethodPut, location.String(), header, raw, http.StatusCreated)
	return err
}

// unexpected is an answer with another status than the one that was hoped for.
type unexpected struct {
	request string
	status  int
	body    string
}

func (u unexpected) Error() string { return fmt.Sprintf("%s: %d %s", u.request, u.status, u.body) }

// do sends one request, and gives the Location of the answer.
func (p *pusher) do(ctx context.Context, method, to string, header http.Header, body []byte, want int) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	answer, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != want {
		return nil, unexpected{method + " " + req.URL.Path, answer.StatusCode, string(raw)}
	}
	location, err := answer.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil, nil
	}
	if err == nil && location.User == nil {
		location.User = req.URL.User
	}
	return location, err
}
