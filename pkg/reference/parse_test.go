package reference_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/reference"
)

const (
	sum    = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sum512 = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
	hex64  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

type ref = reference.Reference

func hub(repository, tag string) ref {
	return ref{Transport: reference.Registry, Registry: "docker.io", Repository: repository, Tag: tag}
}

func at(host, repository, tag string) ref {
	return ref{Transport: reference.Registry, Registry: host, Repository: repository, Tag: tag}
}

var parsed = []struct {
	in       string
	want     ref
	str      string
	familiar string
}{
	{"nginx", hub("library/nginx", "latest"), "docker.io/library/nginx:latest", "nginx:latest"},
	{"nginx:1.25", hub("library/nginx", "1.25"), "docker.io/library/nginx:1.25", "nginx:1.25"},
	{"library/nginx", hub("library/nginx", "latest"), "docker.io/library/nginx:latest", "nginx:latest"},
	{"team/app:1.2", hub("team/app", "1.2"), "docker.io/team/app:1.2", "team/app:1.2"},
	{"docker.io/nginx", hub("library/nginx", "latest"), "docker.io/library/nginx:latest", "nginx:latest"},
	{"index.docker.io/nginx", hub("library/nginx", "latest"), "docker.io/library/nginx:latest", "nginx:latest"},
	{"registry-1.docker.io/nginx", hub("library/nginx", "latest"), "docker.io/library/nginx:latest", "nginx:latest"},
	{"docker://nginx:1", hub("library/nginx", "1"), "docker.io/library/nginx:1", "nginx:1"},
	{"nginx@" + sum, hub("library/nginx", "").WithDigest(sum), "docker.io/library/nginx@" + sum, "nginx@" + sum},
	{"nginx@" + sum512, hub("library/nginx", "").WithDigest(sum512), "docker.io/library/nginx@" + sum512, "nginx@" + sum512},
	{
		"harbor.corp:5443/a/b:1@" + sum,
		ref{Transport: reference.Registry, Registry: "harbor.corp:5443", Repository: "a/b", Tag: "1", Digest: sum},
		"harbor.corp:5443/a/b:1@" + sum, "harbor.corp:5443/a/b:1@" + sum,
	},
	{"localhost/a", at("localhost", "a", "latest"), "localhost/a:latest", "localhost/a:latest"},
	{"host:5000/a/b/c", at("host:5000", "a/b/c", "latest"), "host:5000/a/b/c:latest", "host:5000/a/b/c:latest"},
	{"[::1]:5000/a", at("[::1]:5000", "a", "latest"), "[::1]:5000/a:latest", "[::1]:5000/a:latest"},
	{"[2001:DB8::1]/a:V1", at("[2001:db8::1]", "a", "V1"), "[2001:db8::1]/a:V1", "[2001:db8::1]/a:V1"},
	{"127.0.0.1:5000/a", at("127.0.0.1:5000", "a", "latest"), "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest"},
	{"Harbor.Corp/a", at("harbor.corp", "a", "latest"), "harbor.corp/a:latest", "harbor.corp/a:latest"},
	// Docker takes a single word for an image, whatever it looks like.
	{"nginx:5000", hub("library/nginx", "5000"), "docker.io/library/nginx:5000", "nginx:5000"},
	{"foo.bar:v1", hub("library/foo.bar", "v1"), "docker.io/library/foo.bar:v1", "library/foo.bar:v1"},
	{"docker:27", hub("library/docker", "27"), "docker.io/library/docker:27", "docker:27"},
	{"a_b/c__d/e-f/g---h", hub("a_b/c__d/e-f/g---h", "latest"), "docker.io/a_b/c__d/e-f/g---h:latest", "a_b/c__d/e-f/g---h:latest"},

	// Names at Docker Hub whose short form would be read as something else.
	{"docker.io/library/oci:1.0", hub("library/oci", "1.0"), "docker.io/library/oci:1.0", "library/oci:1.0"},
	{"library/store", hub("library/store", "latest"), "docker.io/library/store:latest", "library/store:latest"},
	{"docker.io/foo.bar/x", hub("foo.bar/x", "latest"), "docker.io/foo.bar/x:latest", "docker.io/foo.bar/x:latest"},
	{"docker.io/foo.bar:5000", hub("library/foo.bar", "5000"), "docker.io/library/foo.bar:5000", "library/foo.bar:5000"},
	{"docker.io/library/localhost:5000", hub("library/localhost", "5000"), "docker.io/library/localhost:5000", "library/localhost:5000"},
	{"docker.io/localhost/x", hub("localhost/x", "latest"), "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"},
	{"docker.io/" + hex64, hub("library/"+hex64, "latest"), "docker.io/library/" + hex64 + ":latest", "library/" + hex64 + ":latest"},
	{"docker.io/library/a/b", hub("library/a/b", "latest"), "docker.io/library/a/b:latest", "library/a/b:latest"},
	{"docker://store:5000/a", at("store:5000", "a", "latest"), "docker://store:5000/a:latest", "docker://store:5000/a:latest"},

	{"store:nginx", hub("library/nginx", "latest").WithTransport(reference.Store), "store:docker.io/library/nginx:latest", "store:nginx:latest"},
	{"store:host:5000/a:1", at("host:5000", "a", "1").WithTransport(reference.Store), "store:host:5000/a:1", "store:host:5000/a:1"},
	{"docker-daemon:team/a@" + sum, hub("team/a", "").WithDigest(sum).WithTransport(reference.DockerDaemon),
		"docker-daemon:docker.io/team/a@" + sum, "docker-daemon:team/a@" + sum},

	{"oci:mirror", ref{Transport: reference.Layout, Path: "mirror"}, "oci:mirror", "oci:mirror"},
	{"oci:./a/b:1.0", ref{Transport: reference.Layout, Path: "./a/b", Tag: "1.0"}, "oci:./a/b:1.0", "oci:./a/b:1.0"},
	{"oci:/srv/my mirror/v1.0", ref{Transport: reference.Layout, Path: "/srv/my mirror/v1.0"}, "oci:/srv/my mirror/v1.0", "oci:/srv/my mirror/v1.0"},
	{"oci:/a:b/c", ref{Transport: reference.Layout, Path: "/a:b/c"}, "oci:/a:b/c", "oci:/a:b/c"},
	{"oci:./a:docker.io/library/x:1", ref{Transport: reference.Layout, Path: "./a", Registry: "docker.io", Repository: "library/x", Tag: "1"}, "oci:./a:docker.io/library/x:1", "oci:./a:docker.io/library/x:1"},
	{"oci:/a:b/c:localhost:5000/x@" + sum, ref{Transport: reference.Layout, Path: "/a:b/c", Registry: "localhost:5000", Repository: "x", Digest: sum}, "oci:/a:b/c:localhost:5000/x@" + sum, "oci:/a:b/c:localhost:5000/x@" + sum},
	{"oci:./mirror/harbor.corp:5443/hub/app:1", ref{Transport: reference.Layout, Path: "./mirror/harbor.corp:5443/hub/app", Tag: "1"}, "oci:./mirror/harbor.corp:5443/hub/app:1", "oci:./mirror/harbor.corp:5443/hub/app:1"},
	{"oci:/backup:2024.01/app:1", ref{Transport: reference.Layout, Path: "/backup:2024.01/app", Tag: "1"}, "oci:/backup:2024.01/app:1", "oci:/backup:2024.01/app:1"},
	{"oci:镜像:1", ref{Transport: reference.Layout, Path: "镜像", Tag: "1"}, "oci:镜像:1", "oci:镜像:1"},
	{"oci:me@home:1", ref{Transport: reference.Layout, Path: "me@home", Tag: "1"}, "oci:me@home:1", "oci:me@home:1"},
	{"oci:-x", ref{Transport: reference.Layout, Path: "-x"}, "oci:-x", "oci:-x"},
	{"oci:./a/:1", ref{Transport: reference.Layout, Path: "./a/", Tag: "1"}, "oci:./a/:1", "oci:./a/:1"},
	{"oci:..", ref{Transport: reference.Layout, Path: ".."}, "oci:..", "oci:.."},
	{"oci:d@" + sum, ref{Transport: reference.Layout, Path: "d", Digest: sum}, "oci:d@" + sum, "oci:d@" + sum},
	{"oci:d:1@" + sum, ref{Transport: reference.Layout, Path: "d", Tag: "1", Digest: sum}, "oci:d:1@" + sum, "oci:d:1@" + sum},
	{"oci-archive:a.tar:1", ref{Transport: reference.OCIArchive, Path: "a.tar", Tag: "1"}, "oci-archive:a.tar:1", "oci-archive:a.tar:1"},
	{"docker-archive:a.tar", ref{Transport: reference.DockerArchive, Path: "a.tar"}, "docker-archive:a.tar", "docker-archive:a.tar"},
	{
		"docker-archive:/x/a.tar:host:5000/a/b:1",
		ref{Transport: reference.DockerArchive, Path: "/x/a.tar", Registry: "host:5000", Repository: "a/b", Tag: "1"},
		"docker-archive:/x/a.tar:host:5000/a/b:1", "docker-archive:/x/a.tar:host:5000/a/b:1",
	},
	{
		"docker-archive:a.tar:nginx",
		ref{Transport: reference.DockerArchive, Path: "a.tar", Registry: "docker.io", Repository: "library/nginx", Tag: "latest"},
		"docker-archive:a.tar:docker.io/library/nginx:latest", "docker-archive:a.tar:nginx:latest",
	},
}

func TestParse(t *testing.T) {
	for _, test := range parsed {
		t.Run(test.in, func(t *testing.T) {
			got, err := reference.Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("Parse = %#v, want %#v", got, test.want)
			}
			if got.String() != test.str {
				t.Errorf("String = %q, want %q", got.String(), test.str)
			}
			if got.Familiar() != test.familiar {
				t.Errorf("Familiar = %q, want %q", got.Familiar(), test.familiar)
			}
			checkRoundTrip(t, got)
		})
	}
}

// checkRoundTrip holds every form of a parsed reference to be read as the same value.
func checkRoundTrip(t *testing.T, want ref) {
	t.Helper()
	for _, form := range []string{want.String(), want.Familiar()} {
		if got, err := reference.Parse(form); err != nil || got != want {
			t.Errorf("Parse(%q) = %#v, %v, want %#v", form, got, err, want)
		}
	}
	repository := want.WithoutIdentifier()
	for _, form := range []string{want.Name(), want.FamiliarName()} {
		if got, err := reference.ParseRepository(form); err != nil || got != repository {
			t.Errorf("ParseRepository(%q) = %#v, %v, want %#v", form, got, err, repository)
		}
	}
}

var refused = []struct{ in, want string }{
	{"", "no image is named; write a name such as nginx:1.25 or harbor.corp/team/app"},
	{"nginx:", "the tag after the colon is missing"},
	{"host:5000/a:", "the tag after the colon is missing"},
	{":1", "the name before the tag or digest is missing"},
	{"HTTP://harbor.corp/a:1", "is a URL; leave the scheme out: harbor.corp/a:1"},
	{"https://harbor.corp/a/", "is a URL; leave the scheme out: harbor.corp/a"},
	{"https://hub.docker.com/_/nginx", "is a URL; leave the scheme out: nginx"},
	{"https://hub.docker.com/r/bitnami/redis/tags?page=2", "is a URL; leave the scheme out: bitnami/redis"},
	{"https://A/B", "is a URL; leave the scheme out"},
	{"Docker://nginx", "write the prefix in lower case: docker://"},
	{"a//b", "there are two slashes in a row, with no name between them"},
	{"host.x//b", "there are two slashes in a row, with no name between them"},
	{"a/b/", "ends with a slash: the name after it is missing, or the slash is one too many: a/b"},
	{"127.0.0.1:7001", "names the host 127.0.0.1:7001; the repository after it is missing: 127.0.0.1:7001/REPOSITORY"},
	{"10.0.0.1", "names the host 10.0.0.1; the repository after it is missing: 10.0.0.1/REPOSITORY"},
	{"10.0.0.1:v1", "names the host 10.0.0.1:v1; the repository after it is missing: 10.0.0.1:v1/REPOSITORY"},
	{"[::1]:5000", "names the host [::1]:5000; the repository after it is missing: [::1]:5000/REPOSITORY"},
	{"[::1]", "names the host [::1]; the repository after it is missing: [::1]/REPOSITORY"},
	{"host.example:5000", "names the host host.example:5000; the repository after it is missing: host.example:5000/REPOSITORY"},
	{"localhost:5000", "names the host localhost:5000; the repository after it is missing: localhost:5000/REPOSITORY"},
	{"store:localhost:5000", "names the host localhost:5000; the repository after it is missing: localhost:5000/REPOSITORY"},
	{"host.x/", "names the host host.x; the repository after it is missing"},
	{"[::1]:5000/", "names the host [::1]:5000; the repository after it is missing"},
	{"Nginx:1", "a repository is written in lower case: nginx"},
	{"Team/App", "a repository is written in lower case: team/app"},
	{"harbor.corp/Team/app:V1", "a repository is written in lower case: harbor.corp/team/app"},
	{"a:x y", "there is a space in it"},
	{" a", "there is a space before or after it"},
	{"a\n", "there is a line break or another control character in it"},
	{"docker://", "the name of the image is missing"},
	{"-q", "a name does not begin with a dash; options are listed by --help"},
	{"a：1", `the character '：' (U+FF1A) is not allowed in a name`},
	{"a:+1", `the tag "+1" holds '+'; allowed are letters, digits, and . _ -`},
	{"a:.1", `the tag ".1" begins with '.'; it must begin with a letter, a digit or _`},
	{"a:" + strings.Repeat("x", 129), "the tag has 129 characters, at most 128 are allowed"},
	{"a@", "the digest after the @ is missing"},
	{"a@sha256:abc", "the digest has 3 characters after sha256:, it needs 64"},
	{"a@sha256:" + strings.ToUpper(hex64), "a digest is written in lower case"},
	{"a@sha256:" + strings.Repeat("x", 64), "after sha256: the digest has characters other than 0-9 and a-f"},
	{"a@md5:abc", `the digest's algorithm "md5" is not known; there are sha256, sha384 and sha512`},
	{"me@host.x/a", `after the @ comes a digest such as sha256:…, not "host.x/a"`},
	{"foo:bar/baz", `"foo:" is neither a transport (there are docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, store:) nor a host with its port`},
	{"dir:/tmp/x", `"dir:" is neither a transport (there are docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, store:) nor a host with its port`},
	{"ocidir://x", `"ocidir://" is no transport; there are docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, store:`},
	{"host:70000/a", "the port 70000 is not between 1 and 65535"},
	{"host:0/a", "the port 0 is not between 1 and 65535"},
	{"::1:5000/a", `"::1:5000" has several colons; an IPv6 address is written in brackets, [::1]:5000`},
	{"[::1:5000/a", "the bracket ] after the IPv6 address is missing"},
	{"[::x]/a", "[::x] is not an IPv6 address"},
	{"[::1]x/a", `there is "x" after the bracket; only a colon and a port, or a slash, may follow`},
	{"my_host.x/a", `"my_host.x" is not a host name`},
	{"a/_b", `"_b" in the repository is malformed: between letters and digits there may be one . or _, two _, or dashes`},
	{"a/b..c", `"b..c" in the repository is malformed: between letters and digits there may be one . or _, two _, or dashes`},
	{"a/b$", `there is a '$' in the repository; allowed are a-z, 0-9, and . _ - between them`},
	{"nginx:1:2", `there is a colon in "nginx:1"; only a tag, or the port of a host, comes after a colon`},
	{"a/" + strings.Repeat("x", 255), "the repository has more than 255 characters"},
	{hex64, "is an image ID, not a name"},
	{"./a", "looks like a path; write oci:./a for a directory, or docker-archive:./a for a file"},
	{"oci:", "after oci: there is nothing"},
	{"oci::1", "the directory after oci: is missing"},
	{"oci:a:", "the tag after the colon is missing"},
	{"oci:a:1:2", "there are two colons after the last slash; only the tag comes after one"},
	{"oci:a@sha256:1", "the digest has 1 characters after sha256:, it needs 64"},
	{"oci:~/a:1", "no shell expands the ~ after a prefix; write the path in full, oci:$HOME/a"},
	{"oci://ghcr.io/a:1", "oci: names a directory; write oci:DIR, or for a registry leave oci:// out: ghcr.io/a:1"},
	{"store://a", "store: is written without //"},
	{"oci-archive:a/", "a/ is a directory, not a file"},
	{"docker-archive:a.tar:", "the name of the image is missing"},
	{"docker-archive::a", "the file after docker-archive: is missing"},
	{"docker-archive:a.tar:a@" + sum, "the images of a Docker archive are named by tags, not by digests"},
}

func TestParseRefuses(t *testing.T) {
	for _, test := range refused {
		t.Run(test.in, func(t *testing.T) {
			got, err := reference.Parse(test.in)
			failure, ok := errors.AsType[*reference.ParseError](err)
			if !ok {
				t.Fatalf("Parse = %v, %v, want a ParseError", got, err)
			}
			if failure.Input != test.in || failure.Reason != test.want {
				t.Errorf("Parse: %v\nwant %q: %s", err, test.in, test.want)
			}
		})
	}
}

func TestParseErrorText(t *testing.T) {
	_, err := reference.Parse("nginx:")
	if got, want := err.Error(), `"nginx:": the tag after the colon is missing`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseHidesPasswords(t *testing.T) {
	const login = "a user name and a password are no part of a name: regsync login HOST keeps them"
	for in, want := range map[string]string{
		"https://me:s3cret@harbor.corp/a":    `"https://***@harbor.corp/a": is a URL; leave the scheme out: harbor.corp/a`,
		"https://me:s3c/ret@harbor.corp/a":   `"https://***@harbor.corp/a": is a URL; leave the scheme out`,
		"me:s3cret@127.0.0.1:7201/demo/a":    `"***@127.0.0.1:7201/demo/a": ` + login,
		"me:s3cret@harbor.corp":              `"***@harbor.corp": ` + login,
		"me:s3c/r@et@harbor.corp/a:1":        `"***@harbor.corp/a:1": ` + login,
		"docker://me:s3cret@harbor.corp/a":   `"docker://***@harbor.corp/a": ` + login,
		"store:me:s3cret@harbor.corp/a":      `"store:***@harbor.corp/a": ` + login,
		"me:s3cret@harbor.corp/a@sha256:abc": `"***@harbor.corp/a@sha256:abc": ` + login,
	} {
		if _, err := reference.Parse(in); err == nil || err.Error() != want {
			t.Errorf("Parse(%q): got %v, want %s", in, err, want)
		}
	}
	if _, _, err := reference.ParseRegistry("me:s3cret@harbor.corp"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("ParseRegistry: got %v", err)
	}
}

func TestParseRepositoryRefusesImages(t *testing.T) {
	for in, want := range map[string]string{
		"nginx:1.25":    `"nginx:1.25": names one image (1.25) where a repository is wanted: write nginx`,
		"a/b@" + sum:    `"a/b@` + sum + `": names one image (` + sum + `) where a repository is wanted: write a/b`,
		"oci:./m/x:1.0": `"oci:./m/x:1.0": names one image (1.0) where a repository is wanted: write oci:./m/x`,
		"nginx:":        `"nginx:": the tag after the colon is missing`,
	} {
		if _, err := reference.ParseRepository(in); err == nil || err.Error() != want {
			t.Errorf("ParseRepository(%q): got %v, want %s", in, err, want)
		}
	}
}

func TestReferenceAsJSON(t *testing.T) {
	want := map[string]ref{"from": at("host:5000", "a", "1")}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != `{"from":"host:5000/a:1"}` {
		t.Errorf("got %s", raw)
	}
	var got map[string]ref
	if err := json.Unmarshal(raw, &got); err != nil || got["from"] != want["from"] {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if err := json.Unmarshal([]byte(`{"from":"a:"}`), &got); err == nil {
		t.Error("a broken reference was read")
	}
}

func TestBase(t *testing.T) {
	for in, want := range map[string]string{
		"nginx": "nginx", "host.x/a/b:1": "b", "oci:./mirror/redis:1": "redis", "oci:./mirror/": "mirror", "docker-archive:x/a.tar:t/n": "n",
	} {
		r, err := reference.Parse(in)
		if err != nil || r.Base() != want {
			t.Errorf("Parse(%q).Base() = %q, %v, want %q", in, r.Base(), err, want)
		}
	}
}
