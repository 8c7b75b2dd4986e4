package figures

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/lab"
	"github.com/regsync/regsync/e2e/tokenserver"
)

// expiringToken: a blob of 256 MiB is sent to a registry whose tokens expire several times meanwhile.
func (b *bench) expiringToken(t *testing.T) {
	const size, rate = 256 << 20, 17e6
	materials, err := lab.NewMaterials(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	materials.Tokens.Lifetime, materials.Tokens.Leeway = 3, 60
	source := lab.StartRegistry(t, b.registry)
	lab.PushLarge(t, source+"/expiring/app:1", size)
	mirror, tokens := lab.StartTokenRegistry(t, b.registry, materials)
	for _, test := range []struct {
		what, repository string
		cut              bool
	}{
		{"256 MiB to a registry whose tokens live 3 s: sent", "whole", false},
		{"… with the connection cut in the middle", "cut", true},
	} {
		to := lab.StartProxy(t, mirror, rate)
		cuts := 0
		to.Spoil(func(body lab.Body) (lab.Fault, int64) {
			if !test.cut || body.Length < size || cuts > 0 {
				return lab.Whole, 0
			}
			cuts++
			return lab.Break, size / 2
		})
		shell := lab.NewShell(t, b.regsync)
		shell.Know(t, materials.Owner, to.Host)
		first := token(t, tokens, materials.Owner, test.repository)
		wantStatus(t, mirror, test.repository, first, http.StatusOK)
		before := tokens.Requests()
		run := shell.Regsync(t, "copy", source+"/expiring/app:1", to.Host+"/"+test.repository+"/app:1")
		aimed(t, b, test.what, ratio(lab.BlobBytesSent(to.Take()), size), 1.01)
		b.noted("… time; token requests", fmt.Sprint(run.Elapsed.Round(100*time.Millisecond), "; ", tokens.Requests()-before))
		if run.Elapsed < 9*time.Second {
			t.Errorf("the copy took %s, less than three lives of a token", run.Elapsed)
		}
		if got := cuts > 0; got != test.cut {
			t.Errorf("cut: %v, want %v", got, test.cut)
		}
		wantStatus(t, mirror, test.repository, first, http.StatusUnauthorized)
		wantStatus(t, mirror, test.repository, token(t, tokens, materials.Owner, test.repository), http.StatusOK)
	}
}

// token asks for a token for pulling from the repository NAME/app.
func token(t *testing.T, from *tokenserver.Server, user lab.User, name string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/token?service=e2e&scope=repository:"+name+"/app:pull", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(user.Name, user.Password)
	answer := httptest.NewRecorder()
	from.ServeHTTP(answer, request)
	var granted struct{ Token string }
	if err := json.Unmarshal(answer.Body.Bytes(), &granted); err != nil || granted.Token == "" {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	return granted.Token
}

// wantStatus asks the registry's base with a token.
func wantStatus(t *testing.T, host, name, token string, want int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		t.Errorf("a token for %s is answered %s, want %d", name, response.Status, want)
	}
}
