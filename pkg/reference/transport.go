package reference

import "strings"

// Transport is what kind of place a reference names.
type Transport string

// The transports. The value is the prefix users type, without its colon.
const (
	Registry      Transport = "docker" // the default: needs no prefix; "docker://NAME" too
	Layout        Transport = "oci"
	OCIArchive    Transport = "oci-archive"
	DockerArchive Transport = "docker-archive"
	DockerDaemon  Transport = "docker-daemon"
	Store         Transport = "store"
)

// prefixes are what users may write, for messages.
const prefixes = "docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, store:"

// cutPrefix splits off the prefix of a transport other than Registry, whose prefix is an
// URL's: "docker:27" is the image of that name.
func cutPrefix(s string) (t Transport, rest string, found bool) {
	prefix, rest, found := strings.Cut(s, ":")
	if !found || !isPrefix(prefix) {
		return Registry, s, false
	}
	return Transport(prefix), rest, true
}

func isPrefix(s string) bool {
	switch Transport(s) {
	case Layout, OCIArchive, DockerArchive, DockerDaemon, Store:
		return true
	default:
		return false
	}
}
