package store_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// places are a registry in memory, the store, and layouts.
type places struct {
	registry *contenttest.Memory
	store    *store.Store
}

func (p places) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	return p.OpenTarget(ctx, ref)
}

func (p places) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	switch ref.Transport {
	case reference.Store:
		return p.store.Repository(ref), nil
	case reference.Layout:
		return layout.OpenOrCreate(ref.Path)
	default:
		return p.registry.Repository(ref.Repository), nil
	}
}

// The engine pulls, pushes, and copies to a layout; a second time there is nothing to do.
func TestEngineMovesImagesThroughTheStore(t *testing.T) {
	all := places{contenttest.NewMemory("registry.example"), open(t, t.TempDir())}
	shared := contenttest.NewLayer("shared", 50_000)
	image := contenttest.NewIndex(contenttest.NewImage("linux/amd64", shared), contenttest.NewImage("linux/arm64", shared))
	image.Push(t, all.registry.Repository("team/app"), "1")
	oci := "oci:" + filepath.Join(t.TempDir(), "mirror") + ":1"
	for i, hop := range [][2]string{
		{"registry.example/team/app:1", "store:registry.example/team/app:1"},
		{"registry.example/team/app:1", "store:other:1"},
		{"store:registry.example/team/app:1", "registry.example/new/app:2"},
		{"store:other:1", oci},
		{oci, "registry.example/new/app:3"},
	} {
		for _, want := range []transfer.Action{transfer.ActionAdd, transfer.ActionUnchanged} {
			job := transfer.Job{Source: parse(t, hop[0]), Destinations: []reference.Reference{parse(t, hop[1])}}
			var results []*transfer.Result
			engine := transfer.New(all, transfer.Options{MountHints: all.store.MountHints})
			err := engine.Run(t.Context(), slices.Values([]transfer.Job{job}), func(r *transfer.Result) { results = append(results, r) })
			if err != nil || len(results) != 1 || results[0].Failed() || results[0].Destinations[0].Action != want {
				t.Fatalf("hop %d from %s to %s: got %+v and %v, want %s", i, hop[0], hop[1], results[0], err, want)
			}
		}
		target, err := all.OpenTarget(t.Context(), parse(t, hop[1]))
		if err != nil {
			t.Fatal(err)
		}
		image.Check(t, target)
	}
}
