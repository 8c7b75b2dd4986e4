package reference

import "strings"

// String is the canonical form. [Parse] gives it back as an equal value; for a repository,
// [ParseRepository] does.
func (r Reference) String() string { return r.identified(r.Name()) }

// Familiar is the shortest form that Docker users would type, "nginx:1.25". [Parse] reads
// it as an equal value, too.
func (r Reference) Familiar() string { return r.identified(r.FamiliarName()) }

// Name is the canonical form without tag and digest, "docker.io/library/nginx".
func (r Reference) Name() string { return r.prefixed(join(r.Registry, r.Repository)) }

// FamiliarName is the shortest form without tag and digest, "nginx".
func (r Reference) FamiliarName() string { return r.prefixed(r.familiarRepository()) }

func (r Reference) identified(name string) string {
	if r.Tag != "" {
		name += ":" + r.Tag
	}
	if r.Digest != "" {
		name += "@" + r.Digest.String()
	}
	return name
}

func (r Reference) prefixed(name string) string {
	switch r.Transport {
	case Registry:
		if host, _, _ := strings.Cut(name, ":"); isPrefix(host) {
			return string(Registry) + "://" + name
		}
		return name
	case "":
		return name
	case DockerDaemon, Store:
		return string(r.Transport) + ":" + name
	default:
		prefixed := string(r.Transport) + ":" + r.Path
		if name != "" {
			prefixed += ":" + name
		}
		return prefixed
	}
}

// familiarRepository is the shortest name that is read as r's: an image at Docker Hub that
// is called like a transport, or looks like a host or an image ID, keeps more of its name. After a directory, all of it.
func (r Reference) familiarRepository() string {
	full := join(r.Registry, r.Repository)
	if r.Registry != DockerHub || r.Transport == Layout || r.Transport == OCIArchive {
		return full
	}
	for _, short := range []string{strings.TrimPrefix(r.Repository, "library/"), r.Repository} {
		if isPrefix(short) || isBareHost(short, "0") {
			continue // with a tag it may be read as a host with its port
		}
		read, err := parseName(r.Transport, short)
		if err == nil && read.Registry == r.Registry && read.Repository == r.Repository {
			return short
		}
	}
	return full
}
