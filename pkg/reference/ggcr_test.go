package reference_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/regsync/regsync/pkg/reference"
)

// Another tool that is given what we print means the same image.
func TestNamesMeanTheSameToGGCR(t *testing.T) {
	for _, test := range parsed {
		if test.want.Transport != reference.Registry {
			continue
		}
		theirs, err := name.ParseReference(strings.TrimPrefix(test.str, "docker://"))
		if err != nil {
			t.Errorf("%s: %v", test.str, err)
			continue
		}
		ours := test.want
		if ours.Registry == reference.DockerHub {
			ours.Registry = name.DefaultRegistry
		}
		if at := theirs.Context(); at.RegistryStr() != ours.Registry || at.RepositoryStr() != ours.Repository || theirs.Identifier() != ours.Identifier() {
			t.Errorf("%s: go-containerregistry reads %s", test.str, theirs.Name())
		}
	}
}
