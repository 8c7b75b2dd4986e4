package auth_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be a credential helper where it is started by such a name.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); strings.HasPrefix(name, "docker-credential-") {
		os.Exit(actAsHelper(strings.TrimPrefix(name, "docker-credential-")))
	}
	os.Exit(m.Run())
}

// kept is what the fake helper keeps of one server, in docker's form.
type kept struct{ ServerURL, Username, Secret string }

// actAsHelper follows docker-credential-helpers' protocol over a file, and writes a line
// about each call to another.
func actAsHelper(kind string) int {
	dir := os.Getenv("FAKE_KEYCHAIN")
	input, _ := io.ReadAll(bufio.NewReader(os.Stdin))
	calls, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 3
	}
	fmt.Fprintln(calls, strings.Join(os.Args[1:], " "))
	_ = calls.Close()
	switch kind {
	case "broken":
		fmt.Println("the keychain is locked\nmore")
		return 1
	case "leaky":
		fmt.Println(`{"Username":"me","Secret":"s3cret"`)
		return 1
	case "garbled":
		fmt.Println(`s3cret`)
		return 0
	}
	path := filepath.Join(dir, "keychain.json")
	keychain := map[string]kept{}
	if raw, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(raw, &keychain)
	}
	switch os.Args[1] {
	case "get":
		found, ok := keychain[string(input)]
		if !ok {
			fmt.Println("credentials not found in native keychain")
			return 1
		}
		_ = json.NewEncoder(os.Stdout).Encode(found)
	case "store":
		var c kept
		if json.Unmarshal(input, &c) != nil {
			return 1
		}
		keychain[c.ServerURL] = c
	case "erase":
		delete(keychain, string(input))
	}
	raw, _ := json.Marshal(keychain)
	if os.WriteFile(path, raw, 0o600) != nil {
		return 2
	}
	return 0
}

// fakeHelpers puts helpers on PATH and returns the directory they are in.
func fakeHelpers(t *testing.T, kinds ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, kind := range kinds {
		if err := os.Symlink(self, filepath.Join(dir, "docker-credential-"+kind)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FAKE_KEYCHAIN", dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // else each run takes a second under -race
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

// helperCalls are the arguments of each call of a fake helper.
func helperCalls(t *testing.T, dir string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(raw))
}

// environment is a lookup in pairs of name and value.
func environment(pairs ...string) func(string) string {
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return values[name] }
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
