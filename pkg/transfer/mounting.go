package transfer

import "github.com/opencontainers/go-digest"

func (r *registry) canMount() verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mounts
}

// mountAnswer is what came of a mount.
type mountAnswer struct {
	granted bool
	// final: it will be the same the next time.
	final bool
	// committed: a manifest referred to the blob where it was to be mounted from.
	committed bool
}

// mounted notes what came of a mount of a blob from another repository. Of the registry it
// tells something only where the blob was certainly there.
func (r *registry) mounted(from string, d digest.Digest, answer mountAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blob(d)
	switch {
	case answer.granted && r.mounts != committed:
		r.setMounts(yes)
	case answer.granted || !answer.final || r.mounts == yes:
	case answer.committed:
		r.setMounts(no)
	case b.put[from] != nil && r.mounts == unknown:
		r.setMounts(committed)
	}
	// A refusal that was on its way while the manifest was put says nothing of what holds now.
	if outdated := b.committed[from] && !answer.committed; !answer.granted && !outdated {
		if b.refused == nil {
			b.refused = map[string]bool{}
		}
		b.refused[from] = true
	}
}

// commit notes that a manifest of a repository refers to a blob that this run has put
// there. A mount that was refused before may be granted now.
func (r *registry) commit(repository string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blobs[d]
	if b == nil || b.put[repository] == nil || b.committed[repository] {
		return
	}
	if b.committed == nil {
		b.committed = map[string]bool{}
	}
	b.committed[repository] = true
	if r.mounts == committed {
		delete(b.refused, repository)
	}
}

// await finds a delivery after which a blob may be mounted into a repository, because a
// manifest refers to it then: the channel is closed at its end, and the wait ends with
// waited. There is none where two repositories would wait for each other. r.mu is held.
func (r *registry) await(b *blobState, repository string) (from string, ended <-chan struct{}) {
	if r.mounts != committed {
		return "", nil
	}
	for from, ended := range b.put {
		if b.committed[from] || r.waitsFor(from, repository) {
			continue
		}
		select {
		case <-ended:
		default:
			r.waits[[2]string{repository, from}]++
			return from, ended
		}
	}
	return "", nil
}

// waitsFor reports whether a repository waits for another, or for one that does.
func (r *registry) waitsFor(repository, other string) bool {
	if repository == other {
		return true
	}
	for edge := range r.waits {
		if edge[0] == repository && r.waitsFor(edge[1], other) {
			return true
		}
	}
	return false
}

// waited ends a wait that await began.
func (r *registry) waited(repository, from string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	edge := [2]string{repository, from}
	if r.waits[edge]--; r.waits[edge] == 0 {
		delete(r.waits, edge)
	}
}
