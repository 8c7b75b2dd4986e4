package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/reference"
)

// Docker Hub's registry has no catalog: a pattern like team/* goes to its API.
func TestCatalogOfDockerHub(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		asked = append(asked, req.URL.Path)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"next":null,"results":[{"name":"app"},{"name":"web"}]}`)
	}))
	defer server.Close()
	client := registry.New(registry.Options{HubAPI: server.URL, CertsDirs: []string{}})
	defer client.Close()
	var names []string
	for name, err := range client.Repositories(t.Context(), reference.DockerHub, "team/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if want := []string{"team/app", "team/web"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"/v2/namespaces/team/repositories"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}
