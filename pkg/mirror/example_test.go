package mirror_test

import (
	"context"
	"fmt"
	"log"

	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/transfer"
)

// A program mirrors one repository: with retries, with limits that adapt to the registries, and with a report.
func ExampleService() {
	limiter := limit.New(limit.Options{})
	client := registry.New(registry.Options{Limiter: limiter})
	opener := backend.New(backend.Options{Registry: client})
	service := mirror.Service{
		Load: func() (*config.Config, error) { return config.Load([]string{"mirror.yaml"}, config.Options{}) },
		Connect: func(*config.Config) (*mirror.Connection, error) {
			return &mirror.Connection{
				Sources: opener, Catalog: client,
				Engine: func(s *mirror.Selection) (*transfer.Engine, error) {
					return transfer.New(opener, transfer.Options{Limiter: limiter, AttachedTags: s.AttachedTags}), nil
				},
			}, nil
		},
	}
	run, err := service.Run(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d copied, %d failed\n", run.Counts.Copied, run.Counts.Failed)
}
