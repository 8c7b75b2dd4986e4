package transfer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/transfer"
)

// Any content.Source and content.Target will do: pkg/backend opens registries, image layouts and the
// local store.
func ExampleCopy() {
	ctx := context.Background()
	source := contenttest.NewMemory("hub.example").Repository("library/app")
	target := contenttest.NewMemory("mirror.example").Repository("team/app")
	manifest := contenttest.NewArtifact("application/vnd.example.chart", nil, contenttest.NewLayer("chart", 1000))
	for _, blob := range manifest.Blobs {
		upload, err := source.StartUpload(ctx, blob.Descriptor)
		if err != nil {
			log.Fatal(err)
		}
		if err := upload.Commit(ctx, blob.Stream()); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := source.PushManifest(ctx, manifest.Descriptor(), manifest.Root.Bytes, "1.0"); err != nil {
		log.Fatal(err)
	}

	result, err := transfer.Copy(ctx, source, target, "1.0", transfer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Destinations[0].Action, result.Destinations[0].Reference)
	there, err := target.Resolve(ctx, "1.0")
	fmt.Println(there.Digest == manifest.Digest(), err)
	// Output:
	// add mirror.example/team/app:1.0
	// true <nil>
}
