//go:build !unix

package runlock

import "io/fs"

// isPrivate is always true: the temporary directory is the user's own there.
func isPrivate(fs.FileInfo) bool { return true }
