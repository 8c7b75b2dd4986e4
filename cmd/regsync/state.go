package main

import (
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/state"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
)

// memory returns what earlier runs have learned. A memory that is only read leaves no trace. It is empty, and stays so, if
// there is no directory for the state.
func (a *app) memory(readOnly bool) *state.Memory {
	if a.remembered != nil {
		return a.remembered
	}
	dir := a.stateDir()
	if dir == "" {
		a.logger().Debug("no directory is set for the state: nothing is remembered between runs")
		a.remembered = &state.Memory{}
		return a.remembered
	}
	warn := a.warn
	if a.command.unattended { // cron mails it: each night would begin without a memory
		warn = a.insist
	}
	a.remembered = state.Open(filepath.Join(dir, "state.db"), state.Options{
		ReadOnly: readOnly,
		Warn:     func(text string) { warn("%s", text) },
	})
	return a.remembered
}

// abilities logs what registries were seen to do, and remembers it if the command has a memory.
type abilities struct{ app *app }

var (
	_ transfer.AbilityMemory = abilities{}
	_ registry.Abilities     = abilities{}
)

// KeepAbility implements [transfer.AbilityMemory].
func (b abilities) KeepAbility(registry, ability, seen string) {
	b.app.logger().Debug("learned", "registry", registry, "ability", ability, "seen", seen)
	if memory := b.app.remembered; memory != nil {
		memory.KeepAbility(registry, ability, seen)
	}
}

// Ability implements [transfer.AbilityMemory].
func (b abilities) Ability(registry, ability string) (seen string, known bool) {
	memory := b.app.remembered
	if memory == nil {
		return "", false
	}
	if seen, known = memory.Ability(registry, ability); known {
		b.app.logger().Debug("known from an earlier run", "registry", registry, "ability", ability, "seen", seen)
	}
	return seen, known
}

// uploads are the uploads of this and other processes.
type uploads struct{ *state.Uploads }

var _ transfer.UploadMemory = uploads{}

// OpenUpload implements [transfer.UploadMemory].
func (u uploads) OpenUpload(place string, blob digest.Digest) transfer.UploadRecord {
	upload := u.Open(place, blob)
	if upload == nil {
		return nil // a nil *state.Upload would make an interface that is not nil
	}
	return upload
}

// uploadMemory returns the memory of uploads; nil if there is no directory for the state.
func (a *app) uploadMemory() transfer.UploadMemory {
	dir := a.stateDir()
	if dir == "" {
		return nil
	}
	if a.uploads == nil {
		a.uploads = state.NewUploads(filepath.Join(dir, "uploads"))
	}
	return uploads{a.uploads}
}

// locating returns an observer that remembers where the blobs of a run are, and passes the events on.
func locating(memory *state.Memory, observe func(transfer.Event)) func(transfer.Event) {
	return func(e transfer.Event) {
		if done, ok := e.(transfer.BlobDone); ok && done.Destination.IsRegistry() {
			at, repository := registry.Name(done.Destination.Registry), done.Destination.Repository
			switch done.Outcome {
			case transfer.BlobSent:
				memory.KeepSent(at, repository, done.Descriptor.Digest)
			case transfer.BlobMounted, transfer.BlobExists:
				memory.KeepLocation(at, repository, done.Descriptor.Digest)
			}
		}
		if observe != nil {
			observe(e)
		}
	}
}

// forgetSeen forgets that a tag was seen, or without one all tags of a repository, if there is a state.
func (a *app) forgetSeen(at content.Location, tag string) {
	if dir := a.stateDir(); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "state.db")); err == nil {
			a.memory(false).ForgetSeen(at.String(), tag)
		}
	}
}

// storeDir returns the directory of the local store: that of the flag, or one below the XDG data directory. It is empty
// if the environment has no home directory either, as under cron.
func (a *app) storeDir() string {
	return a.directory(a.flags.store, "XDG_DATA_HOME", xdg.DataHome, "store")
}

// stateDir returns the directory for what is remembered between runs, in the same way.
func (a *app) stateDir() string {
	return a.directory(a.flags.state, "XDG_STATE_HOME", xdg.StateHome, "")
}

// defaultConfigPath returns where the default configuration is, if it exists; empty if the environment has no home directory.
func (a *app) defaultConfigPath() string {
	return a.directory("", "XDG_CONFIG_HOME", xdg.ConfigHome, "config.yaml")
}

// spoolDir returns the directory for blobs that several destinations wait for; empty if it cannot be created. The
// system's temporary directory is often in memory.
func (a *app) spoolDir() string {
	state := a.stateDir()
	if state == "" {
		return ""
	}
	dir := filepath.Join(state, "spool")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}

// directory returns the flag or, without one, a directory below the XDG directory of the variable; empty if the
// environment has neither the variable nor a home directory.
func (a *app) directory(flag, variable, base, name string) string {
	if flag != "" {
		return flag
	}
	if _, err := os.UserHomeDir(); err != nil && a.getenv(variable) == "" {
		return ""
	}
	return filepath.Join(base, "regsync", name)
}
