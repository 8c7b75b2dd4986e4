package e2e

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// pullTagPush goes through the local store from each registry to each, as with Docker.
func (s *stage) pullTagPush(t *testing.T) {
	shell := s.owner(t)
	origin := s.compose.Plain + "/store/app:1"
	lab.Push(t, origin, lab.Image(t, "linux/amd64", lab.Layer(t, 1, 50_000), lab.Layer(t, 2, 2_000_000)))
	want := shell.Regsync(t, "digest", origin).Out()

	previous := origin
	for _, host := range s.hosts() {
		shell.Regsync(t, "pull", previous)
		next := host + "/store/passed-on:1"
		shell.Regsync(t, "tag", previous, next)
		pushed := shell.Regsync(t, "push", next)
		if text := pushed.Stdout + pushed.Stderr; !strings.Contains(text, want) {
			t.Errorf("push does not say the digest %s:\n%s", want, text)
		}
		wantDigests(t, shell, want, next)
		previous = next
	}

	listed := shell.Regsync(t, "images").Stdout
	for _, host := range s.hosts() {
		if !strings.Contains(listed, host+"/store/passed-on") {
			t.Errorf("regsync images lacks %s/store/passed-on:\n%s", host, listed)
		}
	}
	again := shell.Regsync(t, "push", previous)
	if text := again.Stdout + again.Stderr; !strings.Contains(text, want) {
		t.Errorf("a push with nothing to do does not say the digest:\n%s", text)
	}
}

// layoutForSkopeo: a layout that regsync wrote is read by skopeo.
func (s *stage) layoutForSkopeo(t *testing.T) {
	shell := s.owner(t)
	origin := s.compose.Plain + "/layout/app:1"
	lab.Push(t, origin, lab.Image(t, "linux/amd64", lab.Layer(t, 3, 50_000)))
	want := shell.Regsync(t, "digest", origin).Out()

	shell.Regsync(t, "copy", origin, "oci:"+shell.Path("written")+":1")
	if got := skopeoDigest(t, shell, "oci:"+shell.Path("written")+":1"); got != want {
		t.Errorf("skopeo reads %s, want %s", got, want)
	}
	shell.Run(t, "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false",
		"oci:"+shell.Path("written")+":1", "docker://"+s.compose.Plain+"/layout/by-skopeo:1")
	wantDigests(t, shell, want, s.compose.Plain+"/layout/by-skopeo:1")
}

// layoutBySkopeo: a layout that skopeo wrote is read by regsync.
func (s *stage) layoutBySkopeo(t *testing.T) {
	shell := s.owner(t)
	origin := s.compose.Plain + "/layout/other:1"
	lab.Push(t, origin, lab.Image(t, "linux/amd64", lab.Layer(t, 4, 50_000)))
	want := shell.Regsync(t, "digest", origin).Out()

	shell.Run(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+origin, "oci:"+shell.Path("read")+":1")
	for _, host := range s.hosts() {
		shell.Regsync(t, "copy", "oci:"+shell.Path("read")+":1", host+"/layout/from-skopeo:1")
		wantDigests(t, shell, want, host+"/layout/from-skopeo:1")
	}
}
