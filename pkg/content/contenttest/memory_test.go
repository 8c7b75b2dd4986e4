package contenttest_test

import (
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func TestMemory(t *testing.T) {
	registries := map[string]*contenttest.Memory{}
	contenttest.Run(t, contenttest.Backend{
		Open: func(t *testing.T) content.Target {
			name := "memory:" + t.Name() + string(rune('a'+len(registries)))
			registries[name] = contenttest.NewMemory(name)
			return registries[name].Repository("team/app")
		},
		Sibling: func(t *testing.T, target content.Target) content.Target {
			return registries[target.Location().Registry].Repository("team/base")
		},
		Abilities: contenttest.AllAbilities(),
		Strict:    true,
	})
}

func TestMemoryRepositoriesAreApart(t *testing.T) {
	registry := contenttest.NewMemory("memory")
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("apart", 10))
	image.Push(t, registry.Repository("a"), "v1")
	if there, err := registry.Repository("b").HasBlob(t.Context(), image.Blobs[0].Descriptor); there || err != nil {
		t.Errorf("a blob of another repository: got %v, %v", there, err)
	}
	if first, again := registry.Repository("a"), registry.Repository("a"); first != again {
		t.Error("a repository is not the same each time")
	}
}
