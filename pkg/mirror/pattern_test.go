package mirror_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer"
)

// A repository whose last tag was deleted is still in the registry's catalogue, and its listing
// answers 404 or no tags. That failed every run of a pattern that finds it, while a listing that
// answered 500 was counted nowhere. What is not there is a warning where only a pattern names the
// repository; what is not known is one failure, wherever the repository came from.
func TestRepositoriesThatAPatternFinds(t *testing.T) {
	answer := func(status int, code string) func(*registrytest.Server) {
		return func(s *registrytest.Server) {
			s.Fail(func(r *http.Request) *registrytest.Fault {
				if !registrytest.Match(http.MethodGet, "^/v2/team/odd/tags/list")(r) {
					return nil
				}
				return &registrytest.Fault{Status: status, Code: code}
			})
		}
	}
	for _, test := range []struct {
		name            string
		happens         func(*registrytest.Server)
		tags            string
		found, named    int // failures
		warned, nothing bool
	}{
		{"404", answer(http.StatusNotFound, "NAME_UNKNOWN"), "", 0, 1, true, false},
		{"no tags", func(s *registrytest.Server) {
			s.ReplaceListing("/v2/team/odd/tags/list", "application/json", []byte(`{"name":"team/odd","tags":null}`))
		}, "", 0, 0, true, false},
		{"no tags of some", func(s *registrytest.Server) {
			s.ReplaceListing("/v2/team/odd/tags/list", "application/json", []byte(`{"name":"team/odd","tags":[]}`))
		}, ", tags: {include: 'v*'}", 0, 1, true, true},
		{"nothing is selected", func(s *registrytest.Server) {
			s.ReplaceListing("/v2/team/odd/tags/list", "application/json", []byte(`{"name":"team/odd","tags":["other"]}`))
		}, ", tags: {include: 'v*'}", 0, 1, true, true},
		{"401", answer(http.StatusUnauthorized, "UNAUTHORIZED"), "", 1, 1, false, false},
		{"403", answer(http.StatusForbidden, "DENIED"), "", 1, 1, false, false},
		{"429", answer(http.StatusTooManyRequests, "TOOMANYREQUESTS"), "", 1, 1, false, false},
		{"500", answer(http.StatusInternalServerError, "UNKNOWN"), "", 1, 1, false, false},
		{"a lost connection", func(s *registrytest.Server) {
			s.Fail(func(r *http.Request) *registrytest.Fault {
				if !registrytest.Match(http.MethodGet, "^/v2/team/odd/tags/list")(r) {
					return nil
				}
				return &registrytest.Fault{Cut: true}
			})
		}, "", 1, 1, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, to := registrytest.New(t), registrytest.New(t)
			image := registrytest.Image(registrytest.ImageSpec{Seed: 1, Layers: []registrytest.Layer{{Size: 100}}})
			from.Push("team/fine", "v1", image)
			from.Push("team/odd", "v1", image)
			test.happens(from)
			for source, failures := range map[string]int{"team/*": test.found, "team/odd": test.named} {
				client := registry.New(registry.Options{CertsDirs: []string{}, Retry: retry.Policy{Attempts: 1}})
				opener := backend.New(backend.Options{Registry: client})
				selection := &mirror.Selection{
					Config: load(t, fmt.Sprintf("sync:\n  - {name: all, from: '%s/%s', to: ['%s/one/{{.Base}}', '%[3]s/two/{{.Base}}']%s}\n",
						from.Host(), source, to.Host(), test.tags)),
					Sources: opener, Catalog: client,
				}
				failed, warned := 0, false
				ended, err := runFor(t.Context(), transfer.New(opener, transfer.Options{SpoolDir: t.TempDir()}), selection, func(r *transfer.Result) {
					causes := map[error]bool{}
					for _, d := range r.Destinations {
						if side, ok := errors.AsType[*transfer.Error](d.Err); ok && side.Side == transfer.SideSource {
							causes[d.Err] = true
						}
					}
					failed += len(causes)
					for _, w := range r.Warnings {
						_, nothing := errors.AsType[*mirror.NothingSelectedError](w.Err)
						warned = true
						if nothing != test.nothing || !nothing && test.name == "404" && !errors.Is(w.Err, content.ErrNotFound) {
							t.Errorf("warning %v", w.Err)
						}
					}
				})
				if fine := source == "team/*"; err != nil || failed != failures || fine && (warned != test.warned || ended.Right() != 2) {
					t.Errorf("%s: %d failures, want %d; warned %v, %d are right, %v", source, failed, failures, warned, ended.Right(), err)
				}
				if err := opener.Close(); err != nil {
					t.Error(err)
				}
				client.Close()
			}
		})
	}
}
