package mirror

import (
	"context"
	"time"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// Service mirrors a configuration, once for each call of Run, for a command, a scheduler or a server. It
// keeps no state between runs: state that should last, such as the limits and tokens of registries, belongs
// to the result of Connect.
type Service struct {
	// Load reads the configuration at the beginning of each run.
	Load func() (*config.Config, error)
	// Connect returns the connections for a run of the configuration.
	Connect func(*config.Config) (*Connection, error)

	// Only, FailFast, ForeignLayers and Draining are those of [Selection].
	Only          Retry
	FailFast      bool
	ForeignLayers bool
	Draining      <-chan struct{}
	// Report configures the report. Its Entries are set from the configuration.
	Report report.Options
}

// Connection is what a run uses.
type Connection struct {
	// Sources, Catalog and Created are those of [Selection]; Catalog and Created may be nil.
	Sources SourceOpener
	Catalog Catalog
	Created AgeMemory
	// Engine creates the engine of one run. The engine should get [Selection.AttachedTags].
	Engine func(*Selection) (*transfer.Engine, error)
	// Requests counts the requests to each registry, for the report; it may be nil.
	Requests func() map[string]int64
}

// Run mirrors everything that the configuration names, once. The report is nil only if the run could not begin.
// Images that failed are in the report; the error is nil if the run was complete, otherwise it is that of [Run].
func (s *Service) Run(ctx context.Context) (*report.Report, error) {
	cfg, err := s.Load()
	if err != nil {
		return nil, err
	}
	connection, err := s.Connect(cfg)
	if err != nil {
		return nil, err
	}
	selection := &Selection{
		Config: cfg, Sources: connection.Sources, Catalog: connection.Catalog, Created: connection.Created,
		Only: s.Only, FailFast: s.FailFast, ForeignLayers: s.ForeignLayers, Draining: s.Draining,
	}
	engine, err := connection.Engine(selection)
	if err != nil {
		return nil, err
	}
	options := s.Report
	options.Entries = cfg.EntryNames()
	run := report.New("sync", time.Now(), options)
	err = Run(ctx, engine, selection, run)
	var requests map[string]int64
	if connection.Requests != nil {
		requests = connection.Requests()
	}
	run.Finish(time.Now(), &engine.Counters, requests)
	return run, err
}
