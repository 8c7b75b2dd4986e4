package backend_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Copy an image between registries, with the logins of docker and podman.
func Example() {
	ctx := context.Background()
	client := registry.New(registry.Options{Credentials: auth.FromEnvironment(os.Getenv)})
	defer client.Close()
	opener := backend.New(backend.Options{Registry: client})
	defer opener.Close()

	from, err := reference.Parse("docker.io/library/alpine:3.22")
	if err != nil {
		log.Fatal(err)
	}
	to, err := reference.Parse("registry.example.com/team/alpine:3.22")
	if err != nil {
		log.Fatal(err)
	}
	source, err := opener.OpenSource(ctx, from)
	if err != nil {
		log.Fatal(err)
	}
	target, err := opener.OpenTarget(ctx, to)
	if err != nil {
		log.Fatal(err)
	}
	result, err := transfer.Copy(ctx, source, target, from.Tag, transfer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Destinations[0].Action, result.Destinations[0].Digest)
}
