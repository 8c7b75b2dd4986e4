package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// copyAcross copies an image between registries, with the logins of docker and podman.
func copyAcross(ctx context.Context, from, to reference.Reference) (result *transfer.Result, err error) {
	client := registry.New(registry.Options{Credentials: auth.FromEnvironment(os.Getenv)})
	defer client.Close()
	opener := backend.New(backend.Options{Registry: client})
	defer func() { err = errors.Join(err, opener.Close()) }()

	source, err := opener.OpenSource(ctx, from)
	if err != nil {
		return nil, err
	}
	target, err := opener.OpenTarget(ctx, to)
	if err != nil {
		return nil, err
	}
	return transfer.Copy(ctx, source, target, from.Tag, transfer.Options{})
}

func Example() {
	from, err := reference.Parse("docker.io/library/alpine:3.22")
	if err != nil {
		log.Fatal(err)
	}
	to, err := reference.Parse("registry.example.com/team/alpine:3.22")
	if err != nil {
		log.Fatal(err)
	}
	result, err := copyAcross(context.Background(), from, to)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Destinations[0].Action, result.Destinations[0].Digest)
}
