//go:build !unix

package main

import "io/fs"

// ours is always true: the temporary directory is the user's own there.
func ours(fs.FileInfo) bool { return true }
