// Package auth answers "who am I, for which host or path": it reads the credentials that
// docker login and podman login keep, and keeps those of regsync login where both find them.
//
// Start at [FromEnvironment], which looks where Docker and Podman look, and put what the
// command line and the configuration say in front of it with [Chain] and [Static]. Login
// and logout are [File.Save] and [File.Remove] of the file that [DockerFile] names.
//
// The package guarantees that a secret prints as *** whatever prints it, reaches a
// credential helper on its standard input only, and is written only to files of mode 0600.
//
// The files are read and written here and not by docker/cli's configfile, which drops keys
// that it does not know, reads the process's environment, prints to stderr, and takes a
// lock on nothing. Its types package gives the form of an entry.
package auth
