package layout

import (
	"os"
	"strings"
	"time"
)

// abandonedAfter is how long the partial file of a writer that is no more waits for
// somebody to continue it.
const abandonedAfter = 24 * time.Hour

// sweep removes what dead writers left behind. Where that is not allowed it stays; nobody
// is harmed by it.
func (l *Layout) sweep(olderThan time.Duration) {
	l.removePartials("", olderThan)
	lock, err := l.lockIfThere(indexLock)
	if lock == nil || err != nil {
		return
	}
	defer unlock(lock)
	for _, name := range []string{l.file(privateDir, newIndexFile), l.file(privateDir, newLayoutFile)} {
		_ = l.disk.Remove(name)
	}
}

// removePartials removes partial files that nobody holds.
func (l *Layout) removePartials(prefix string, olderThan time.Duration) (freed int64) {
	entries, _ := os.ReadDir(l.file(privateDir, uploadsDir))
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(entry.Name(), prefix) || time.Since(info.ModTime()) < olderThan {
			continue
		}
		path := l.file(privateDir, uploadsDir, entry.Name())
		lock, err := lockFile(path, nil)
		if lock == nil || err != nil {
			continue
		}
		if l.disk.Remove(path) == nil {
			freed += info.Size()
		}
		_ = lock.Unlock()
	}
	return freed
}
