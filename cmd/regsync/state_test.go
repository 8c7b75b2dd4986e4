package main

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/state"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// The places of blobs go by the name that the engine asks with: one for all hosts of a
// registry. Those of layouts, and of blobs that did not arrive, are not remembered.
func TestLocating(t *testing.T) {
	blob := registrytest.Image(registrytest.ImageSpec{}).Config
	done := func(name string, outcome transfer.BlobOutcome) transfer.BlobDone {
		ref, err := reference.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		return transfer.BlobDone{Destination: ref, Descriptor: blob, Outcome: outcome}
	}
	path := filepath.Join(t.TempDir(), "state.db")
	run := func(events ...transfer.Event) []string {
		memory, seen := state.Open(path, state.Options{}), 0
		observe := locating(memory, func(transfer.Event) { seen++ })
		for _, e := range events {
			observe(e)
		}
		if seen != len(events) {
			t.Errorf("%d of %d events came through", seen, len(events))
		}
		memory.Close()
		memory = state.Open(path, state.Options{ReadOnly: true})
		defer memory.Close()
		return memory.Locations("registry.cn-hangzhou.aliyuncs.com", blob.Digest)
	}

	failed := done("registry.cn-hangzhou.aliyuncs.com/team/failed:1", transfer.BlobFailed)
	failed.Err = errors.New("refused")
	if got := run(failed, done("oci:layout:1", transfer.BlobSent), transfer.JobDone{}); len(got) > 0 {
		t.Errorf("the blob is in %q", got)
	}
	got := run(
		done("registry.cn-hangzhou.aliyuncs.com/team/there:1", transfer.BlobExists),
		done("registry-vpc.cn-hangzhou.aliyuncs.com/team/vpc:1", transfer.BlobMounted),
	)
	if want := []string{"team/there", "team/vpc"}; !slices.Equal(got, want) {
		t.Errorf("the blob is in %q, want %q", got, want)
	}
	// It had to be sent: it was not where the earlier run has seen it.
	if got := run(done("registry.cn-hangzhou.aliyuncs.com/team/sent:1", transfer.BlobSent)); !slices.Equal(got, []string{"team/sent"}) {
		t.Errorf("after it was sent the blob is in %q", got)
	}
}
