package content_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func TestIsCorrupt(t *testing.T) {
	want := content.Descriptor{Size: 10}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":         {nil, false},
		"short":           {&content.MismatchError{Want: want, GotSize: 9}, false},
		"long":            {&content.MismatchError{Want: want, GotSize: 11}, true},
		"other digest":    {fmt.Errorf("push: %w", &content.MismatchError{Want: want, GotSize: 10, GotDigest: "x"}), true},
		"of a registry":   {fmt.Errorf("push: %w", content.ErrMismatch), true},
		"something else":  {content.ErrDenied, false},
		"short, and more": {errors.Join(content.ErrDenied, &content.MismatchError{Want: want}), false},
	} {
		if got := content.IsCorrupt(test.err); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestVerifyBytes(t *testing.T) {
	blob := contenttest.NewLayer("bytes", 100)
	unknownSize := blob.Descriptor
	unknownSize.Size = 0
	for name, test := range map[string]struct {
		d    content.Descriptor
		raw  []byte
		want error
	}{
		"exact":        {blob.Descriptor, blob.Bytes, nil},
		"unknown size": {unknownSize, blob.Bytes, nil},
		"short":        {blob.Descriptor, blob.Bytes[:99], content.ErrMismatch},
		"other":        {unknownSize, blob.Bytes[:99], content.ErrMismatch},
	} {
		if err := content.VerifyBytes(test.raw, test.d); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}
