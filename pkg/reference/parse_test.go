package reference_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
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

var refused = []string{
	"",
	"nginx:",
	"host:5000/a:",
	":1",
	"HTTP://harbor.corp/a:1",
	"https://harbor.corp/a/",
	"https://hub.docker.com/_/nginx",
	"https://hub.docker.com/r/bitnami/redis/tags?page=2",
	"https://A/B",
	"Docker://nginx",
	"a//b",
	"host.x//b",
	"a/b/",
	"127.0.0.1:7001",
	"10.0.0.1",
	"10.0.0.1:v1",
	"[::1]:5000",
	"[::1]",
	"host.example:5000",
	"localhost:5000",
	"store:localhost:5000",
	"host.x/",
	"[::1]:5000/",
	"Nginx:1",
	"Team/App",
	"harbor.corp/Team/app:V1",
	"a:x y",
	" a",
	"a\n",
	"docker://",
	"-q",
	"a：1",
	"a:+1",
	"a:.1",
	"a:" + strings.Repeat("x", 129),
	"a@",
	"a@sha256:abc",
	"a@sha256:" + strings.ToUpper(hex64),
	"a@sha256:" + strings.Repeat("x", 64),
	"a@md5:abc",
	"me@host.x/a",
	"foo:bar/baz",
	"dir:/tmp/x",
	"ocidir://x",
	"host:70000/a",
	"host:0/a",
	"::1:5000/a",
	"[::1:5000/a",
	"[::x]/a",
	"[::1]x/a",
	"my_host.x/a",
	"a/_b",
	"a/b..c",
	"a/b$",
	"nginx:1:2",
	"a/" + strings.Repeat("x", 255),
	hex64,
	"./a",
	"oci:",
	"oci::1",
	"oci:a:",
	"oci:a:1:2",
	"oci:a@sha256:1",
	"oci:~/a:1",
	"oci://ghcr.io/a:1",
	"store://a",
	"oci-archive:a/",
	"docker-archive:a.tar:",
	"docker-archive::a",
	"docker-archive:a.tar:a@" + sum,
}

// TestParseRefuses: every text that is no reference is told with its reason; the reasons are in testdata/texts.golden.
func TestParseRefuses(t *testing.T) {
	var said strings.Builder
	for _, in := range refused {
		got, err := reference.Parse(in)
		failure, ok := errors.AsType[*reference.ParseError](err)
		if !ok || failure.Input != in {
			t.Errorf("Parse(%q) = %v, %v, want a ParseError", in, got, err)
			continue
		}
		fmt.Fprintf(&said, "%q\n    %s\n", in, failure.Reason)
	}
	golden.Text(t, said.String())
}

func TestParseHidesPasswords(t *testing.T) {
	var said strings.Builder
	for _, in := range []string{
		"https://me:s3cret@harbor.corp/a",
		"https://me:s3c/ret@harbor.corp/a",
		"me:s3cret@127.0.0.1:7201/demo/a",
		"me:s3cret@harbor.corp",
		"me:s3c/r@et@harbor.corp/a:1",
		"docker://me:s3cret@harbor.corp/a",
		"store:me:s3cret@harbor.corp/a",
		"me:s3cret@harbor.corp/a@sha256:abc",
	} {
		_, err := reference.Parse(in)
		if err == nil || strings.Contains(err.Error(), "s3c") {
			t.Errorf("Parse(%q): got %v", in, err)
		}
		fmt.Fprintln(&said, err)
	}
	golden.Text(t, said.String())
}

func TestParseRepositoryRefusesImages(t *testing.T) {
	var said strings.Builder
	for _, in := range []string{"nginx:1.25", "a/b@" + sum, "oci:./m/x:1.0", "nginx:"} {
		_, err := reference.ParseRepository(in)
		if err == nil {
			t.Errorf("ParseRepository(%q) takes it", in)
		}
		fmt.Fprintln(&said, err)
	}
	golden.Text(t, said.String())
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
