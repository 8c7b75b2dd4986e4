package transfer

import (
	"sync"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// repositories counts the jobs of a run by the repository of their source.
type repositories struct {
	mu   sync.Mutex
	jobs map[string]int
}

func (r *repositories) add(source reference.Reference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs == nil {
		r.jobs = map[string]int{}
	}
	r.jobs[source.Name()]++
}

func (r *repositories) count(at content.Location) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[at.String()]
}
