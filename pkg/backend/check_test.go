package backend_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
)

// TestCheckWrite: an upload is opened and cancelled, and nothing is sent.
func TestCheckWrite(t *testing.T) {
	server := registrytest.New(t)
	if err := newOpener(t).CheckWrite(t.Context(), parse(t, server.Host()+"/team/app:1")); err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, e := range server.Log() {
		methods = append(methods, e.Method)
		if e.Method == http.MethodPut || e.Method == http.MethodPatch {
			t.Errorf("%s %s", e.Method, e.Path)
		}
	}
	if got := strings.Join(methods, " "); got != "POST DELETE" {
		t.Errorf("got %s", got)
	}
}

// TestCheckWriteWithoutDelete: who may push and not delete can write. The refused cancelling
// used to be told as a destination that cannot be written.
func TestCheckWriteWithoutDelete(t *testing.T) {
	server := registrytest.New(t)
	server.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Method != http.MethodDelete {
			return nil
		}
		return &registrytest.Fault{Status: http.StatusForbidden}
	})
	if err := newOpener(t).CheckWrite(t.Context(), parse(t, server.Host()+"/team/app:1")); err != nil {
		t.Error(err)
	}
}

func TestCheckWriteElsewhere(t *testing.T) {
	dir := t.TempDir()
	if err := newOpener(t).CheckWrite(t.Context(), parse(t, "oci:"+dir+"/mirror:1")); err != nil {
		t.Error(err)
	}
	if err := newOpener(t).CheckWrite(t.Context(), parse(t, "docker-archive:"+dir+"/a.tar")); !errors.Is(err, content.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
