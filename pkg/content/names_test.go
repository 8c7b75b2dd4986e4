package content_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
)

func TestInvalidNamesError(t *testing.T) {
	invalid := &content.InvalidNamesError{Kind: "tag"}
	if err := invalid.Err(); err != nil {
		t.Errorf("nothing was left out: %v", err)
	}
	var said strings.Builder
	for i, name := range []string{"\x1b[2J", "a\nb", strings.Repeat("x", 1000), "fourth"} {
		invalid.Add(name)
		if invalid.Count != i+1 {
			t.Errorf("%d are counted, want %d", invalid.Count, i+1)
		}
		fmt.Fprintln(&said, invalid)
	}
	golden.Text(t, said.String())
	if !errors.Is(invalid, content.ErrInvalid) {
		t.Error("it is no ErrInvalid")
	}
}

func TestSplitInvalidNames(t *testing.T) {
	one := &content.InvalidNamesError{Kind: "tag", Count: 1}
	broken := errors.New("broken")
	for _, test := range []struct {
		err     error
		invalid *content.InvalidNamesError
		failure error
	}{
		{nil, nil, nil}, {broken, nil, broken}, {one, one, nil}, {fmt.Errorf("list: %w", one), one, nil},
	} {
		if invalid, failure := content.SplitInvalidNames(test.err); invalid != test.invalid || !errors.Is(failure, test.failure) {
			t.Errorf("%v: got %v and %v", test.err, invalid, failure)
		}
	}
}

func TestValidNames(t *testing.T) {
	broken := errors.New("broken")
	check := func(name string) error {
		if strings.HasPrefix(name, "bad") {
			return content.ErrInvalid
		}
		return nil
	}
	listed := func(names ...string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, name := range names {
				if name == "BROKEN" && !yield("", broken) || name != "BROKEN" && !yield(name, nil) {
					return
				}
			}
		}
	}
	for _, test := range []struct {
		listed, want []string
		invalid      int
		failure      error
	}{
		{nil, nil, 0, nil},
		{[]string{"a", "b"}, []string{"a", "b"}, 0, nil},
		{[]string{"bad1", "a", "bad2", "b"}, []string{"a", "b"}, 2, nil},
		{[]string{"bad1", "a", "BROKEN", "b"}, []string{"a"}, 0, broken},
	} {
		var got []string
		count, ended := 0, error(nil)
		for name, err := range content.ValidNames("tag", check, listed(test.listed...)) {
			if err == nil {
				got = append(got, name)
				continue
			}
			invalid, failure := content.SplitInvalidNames(err)
			if ended = failure; invalid != nil {
				count = invalid.Count
			}
		}
		if !slices.Equal(got, test.want) || count != test.invalid || !errors.Is(ended, test.failure) {
			t.Errorf("%q: got %q, %d left out, %v", test.listed, got, count, ended)
		}
	}
	for name, err := range content.ValidNames("tag", check, listed("bad", "a", "b")) {
		if name != "a" || err != nil {
			t.Errorf("got %q and %v", name, err)
		}
		break // yields nothing after it
	}
}

func TestValidDescriptors(t *testing.T) {
	d := digest.FromString("x")
	listed := []content.Descriptor{
		{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1}, {Digest: d}, {Digest: "../x"}, {Digest: d, Size: -1}, {MediaType: "text", Digest: d},
	}
	valid, err := content.ValidDescriptors("referrer", listed)
	invalid, failure := content.SplitInvalidNames(err)
	if len(valid) != 2 || failure != nil || invalid == nil || invalid.Count != 3 || invalid.Kind != "referrer" {
		t.Errorf("got %+v and %v", valid, err)
	}
	if valid, err := content.ValidDescriptors("referrer", listed[:2]); len(valid) != 2 || err != nil {
		t.Errorf("got %+v and %v", valid, err)
	}
}

func TestCheckMediaType(t *testing.T) {
	for _, mediaType := range append(content.ManifestMediaTypes(), "text/plain; charset=utf-8", "application/vnd.example.a_b+json;v=1", "a/b") {
		if err := content.CheckMediaType(mediaType); err != nil {
			t.Error(err)
		}
	}
	for _, mediaType := range []string{
		"", "text", "/", "a/", "/b", "a/b/c", " a/b", "a/b\n", "a/b; x=\r\nX: 1", "a b/c", "a/\x1b", "*/*", strings.Repeat("a", 128) + "/b",
	} {
		if err := content.CheckMediaType(mediaType); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%q: got %v, want invalid", mediaType, err)
		}
	}
}
