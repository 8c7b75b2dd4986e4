package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Name is the name of a fault in the [Catalogue]. A fault of single requests is applied by
// [Server.Fail] and [Server.FailTimes], as [Name.Fault] gives it; a lasting one, a quirk, by [With].
type Name string

// The faults of single requests. They strike at a byte of a body where one is given to [Name.Fault].
const (
	Reset        Name = "reset"
	CleanEnd     Name = "clean-end"
	Stall        Name = "stall"
	Drip         Name = "drip"
	CommitLost   Name = "commit-lost"
	Status500    Name = "status-500"
	Status502    Name = "status-502"
	Status503    Name = "status-503"
	Status504    Name = "status-504"
	Limited      Name = "429"
	LimitedFor   Name = "429-seconds"
	LimitedDate  Name = "429-date"
	LimitedUnix  Name = "429-unix-time"
	Unauthorized Name = "401-in-body"
	WrongBytes   Name = "wrong-bytes"
	WrongLength  Name = "wrong-length"
	EndsEarly    Name = "ends-early"
	LayerMissing Name = "layer-missing"
	DeadRedirect Name = "redirect-dead"
	UnknownBlob  Name = "manifest-unknown-blob"
)

// The quirks.
const (
	RangeIgnored        Name = "range-ignored"
	RangeWrong          Name = "range-wrong"
	RangeShifted        Name = "range-shifted"
	GzipUnasked         Name = "gzip-unasked"
	TagMoves            Name = "tag-moves"
	BlobRedirect        Name = "blob-redirect"
	StatusOffByOne      Name = "status-off-by-one"
	StatusNoLocation    Name = "status-without-location"
	Status404AfterCut   Name = "status-404-after-cut"
	CutDeletesSession   Name = "cut-deletes-session"
	CutDropsChunk       Name = "cut-drops-chunk"
	ContentRangeIgnored Name = "content-range-ignored"
	RangeStuck          Name = "range-stuck"
	Patch201            Name = "patch-201"
	PatchRefused        Name = "patch-refused"
	LastPatchOnly       Name = "last-patch-only"
	Request413          Name = "request-413"
	Put413              Name = "put-413"
	Range416            Name = "range-416-by-size"
	CancelRefused       Name = "cancel-refused"
	LocationElsewhere   Name = "location-elsewhere"
	Mount202            Name = "mount-refused-202"
	Mount400            Name = "mount-refused-400"
	Mount401            Name = "mount-refused-401"
	Mount404            Name = "mount-refused-404"
	MountCommitted      Name = "mount-committed-only"
	MountAny            Name = "mount-any"
	ProbeRefused        Name = "probe-refused"
	InGC                Name = "manifest-in-gc"
	TagImmutable        Name = "tag-immutable"
	TagDeleteRefused    Name = "tag-delete-refused"
	ImagesOnly          Name = "images-only"
	NoLayerURLs         Name = "no-layer-urls"
	ReferrersAPI        Name = "referrers-api"
	NoCatalog           Name = "no-catalog"
	TwoComponents       Name = "two-components"
	TokenForOne         Name = "token-one-repository"
	TagPages            Name = "tag-pages"
	QuotaHeaders        Name = "quota-headers"
)

// Side is which side of a copy a fault can be met at.
type Side string

// The sides.
const (
	AtSource      Side = "source"
	AtDestination Side = "destination"
	AtBoth        Side = "both"
)

// Entry is a row of the catalogue.
type Entry struct {
	Name    Name
	Side    Side
	Lasting bool // a quirk
	// Sized quirks take a number by [Name.At].
	Sized bool
	Means string
	fault func(at int64) Fault // nil for a quirk
}

// catalogue gives each fault its description, and those of single requests what they do.
func catalogue() []Entry {
	once := func(name Name, side Side, means string, fault func(at int64) Fault) Entry {
		return Entry{Name: name, Side: side, Means: means, fault: fault}
	}
	quirk := func(name Name, side Side, means string) Entry {
		return Entry{Name: name, Side: side, Lasting: true, Means: means}
	}
	sized := func(name Name, side Side, means string) Entry {
		return Entry{Name: name, Side: side, Lasting: true, Sized: true, Means: means}
	}
	return []Entry{
		once(Reset, AtBoth, "the connection is reset (TCP RST) at byte N of the body, be it the request's or the answer's",
			func(at int64) Fault { return Fault{Cut: true, After: at} }),
		once(CleanEnd, AtBoth, "the connection ends (TCP FIN) at byte N of the body",
			func(at int64) Fault { return Fault{End: true, After: at} }),
		once(Stall, AtBoth, "nothing happens after byte N of the body, and the connection stays open",
			func(at int64) Fault { return Fault{Hang: true, After: at} }),
		once(Drip, AtBoth, "from byte N on, the body goes by at 4 KiB a second",
			func(at int64) Fault { return Fault{Drip: time.Second, After: at} }),
		once(CommitLost, AtDestination, "the registry does what was asked, and the connection is reset instead of an answer",
			func(int64) Fault { return Fault{LoseAnswer: true} }),
		once(Status500, AtBoth, "500 UNKNOWN", func(int64) Fault { return Fault{Status: 500, Code: "UNKNOWN"} }),
		once(Status502, AtBoth, "502 without a body, as from a proxy", func(int64) Fault { return Fault{Status: 502} }),
		once(Status503, AtBoth, "503 with Retry-After: 1", func(int64) Fault { return Fault{Status: 503, Header: retryAfter("1")} }),
		once(Status504, AtBoth, "504 without a body, as from a proxy", func(int64) Fault { return Fault{Status: 504} }),
		once(Limited, AtBoth, "429 without Retry-After, as Docker Hub's against abuse", limited("")),
		once(LimitedFor, AtBoth, "429 with Retry-After in seconds", limited("2")),
		once(LimitedDate, AtBoth, "429 with Retry-After as a date", func(int64) Fault {
			return limited(time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat))(0)
		}),
		once(LimitedUnix, AtBoth, "429 with Retry-After as a Unix time, as Docker Hub's API has sent", func(int64) Fault {
			return limited(strconv.FormatInt(time.Now().Add(3*time.Second).Unix(), 10))(0)
		}),
		once(Unauthorized, AtDestination, "401 after byte N of a request's body, with the challenge of the registry's token server",
			func(at int64) Fault { return Fault{Status: 401, Code: "UNAUTHORIZED", After: at} }),
		once(WrongBytes, AtSource, "one bit of the answer's body is flipped, at byte N", func(at int64) Fault {
			return Fault{Alter: func(raw []byte) []byte {
				raw[min(at, int64(len(raw)-1))] ^= 1
				return raw
			}}
		}),
		once(WrongLength, AtSource, "the answer has a byte too few, and Content-Length says so",
			func(int64) Fault { return Fault{Alter: func(raw []byte) []byte { return raw[:len(raw)-1] }} }),
		once(EndsEarly, AtSource, "the answer has no Content-Length, and comes to a regular end at byte N",
			func(at int64) Fault {
				return Fault{NoLength: true, Alter: func(raw []byte) []byte { return raw[:min(at, int64(len(raw)))] }}
			}),
		once(LayerMissing, AtSource, "404 BLOB_UNKNOWN for a blob that a manifest names",
			func(int64) Fault { return Fault{Status: 404, Code: "BLOB_UNKNOWN"} }),
		once(DeadRedirect, AtSource, "307 to a host that refuses connections",
			func(int64) Fault {
				return Fault{Status: 307, Header: http.Header{"Location": {"http://127.0.0.1:1/storage"}}}
			}),
		once(UnknownBlob, AtDestination, "400 MANIFEST_BLOB_UNKNOWN for a manifest whose blobs are there",
			func(int64) Fault { return Fault{Status: 400, Code: "MANIFEST_BLOB_UNKNOWN"} }),

		quirk(RangeIgnored, AtSource, "a request for a range is answered with 200 and all of the blob"),
		quirk(RangeWrong, AtSource, "a request for a range is answered with another one, which Content-Range states"),
		quirk(RangeShifted, AtSource, "a request for a range is answered with the bytes one before it, and Content-Range states what was asked"),
		quirk(GzipUnasked, AtSource, "answers 200 to GET of blobs and manifests have Content-Encoding: gzip, whatever Accept-Encoding says"),
		quirk(TagMoves, AtSource, "once tag T was read, it points at what T-next points at"),
		quirk(BlobRedirect, AtSource, "GET and HEAD of blobs are answered with 307 to a signed URL of a second host, which refuses an Authorization beside it as S3 does (400)"),
		quirk(StatusOffByOne, AtDestination, "the Range of a session's status, and of a 416, ends one byte too late"),
		quirk(StatusNoLocation, AtDestination, "a session's status has no Location; the session's first one stays good"),
		quirk(Status404AfterCut, AtDestination, "after a cut body, every request to the session is answered with 404 BLOB_UPLOAD_INVALID"),
		quirk(CutDeletesSession, AtDestination, "a cut body deletes the session, finished chunks too"),
		quirk(CutDropsChunk, AtDestination, "what a cut body brought is dropped; the session stays"),
		quirk(ContentRangeIgnored, AtDestination, "bytes are appended, whatever Content-Range says"),
		quirk(RangeStuck, AtDestination, "the Range of a session stays that of its first chunk"),
		quirk(Patch201, AtDestination, "PATCH is answered with 201"),
		quirk(PatchRefused, AtDestination, "PATCH is answered with 405 UNSUPPORTED"),
		quirk(LastPatchOnly, AtDestination, "a session has only what its last PATCH brought, and its status counts all"),
		sized(Request413, AtDestination, "413 for a request of more than N bytes, before it is read, without a word of a registry, as nginx does with client_max_body_size"),
		sized(Put413, AtDestination, "413 for a PUT of more than N bytes, and for no PATCH"),
		sized(Range416, AtDestination, "416 for a request with Content-Range of more than N bytes"),
		quirk(CancelRefused, AtDestination, "DELETE of a session is answered with 401, as distribution does for a token without the action delete"),
		quirk(LocationElsewhere, AtDestination, "uploads go to a second host, which wants no Authorization"),
		quirk(Mount202, AtDestination, "a mount is answered with 202 and a session, that from the same repository too"),
		quirk(Mount400, AtDestination, "a mount from another repository is answered with 400"),
		quirk(Mount401, AtDestination, "a mount from another repository is answered with 401"),
		quirk(Mount404, AtDestination, "a mount from another repository is answered with 404 NAME_UNKNOWN"),
		quirk(MountCommitted, AtDestination, "a mount is answered with 202 and a session, unless a manifest in the other repository refers to the blob"),
		quirk(MountAny, AtDestination, "a mount succeeds if any repository has the blob, whatever from says"),
		quirk(ProbeRefused, AtDestination, "a mount from the same repository is answered with 202 and a session, whether the blob is there or not"),
		quirk(InGC, AtDestination, "a mount succeeds, but until the blob is uploaded, HEAD of it and a manifest that refers to it are answered with 404, as by Harbor during garbage collection"),
		quirk(TagImmutable, AtDestination, "a tag that is there cannot be moved: 400 TAG_INVALID"),
		quirk(TagDeleteRefused, AtDestination, "DELETE by tag is answered with 400 DIGEST_INVALID"),
		quirk(ImagesOnly, AtDestination, `manifests whose config is not an image config are answered with 403 DENIED, as distribution does with the policy "classes: [image]"`),
		quirk(NoLayerURLs, AtDestination, "images with foreign layers are answered with 500 UNKNOWN, as distribution does until its configuration allows the URLs"),
		quirk(ReferrersAPI, AtBoth, "the referrers API is served"),
		quirk(NoCatalog, AtBoth, "_catalog is answered with 404"),
		quirk(TwoComponents, AtDestination, "writing below a path of three components is answered with 403 DENIED"),
		quirk(TokenForOne, AtBoth, "a token is for one repository, the first that is asked for"),
		sized(TagPages, AtBoth, "a page of a listing has at most N tags, whatever the client asks for"),
		quirk(QuotaHeaders, AtBoth, "each GET of a manifest takes one of 100 pulls of its account in 6 hours; answers about manifests have ratelimit-limit and ratelimit-remaining; without pulls 429 TOOMANYREQUESTS, as Docker Hub"),
	}
}

// Catalogue is all faults, those of single requests first. docs/FAULTS.md is made of it.
func Catalogue() []Entry { return catalogue() }

// Lookup finds the row of a name, which may have a number of [Name.At].
func (n Name) Lookup() (Entry, bool) {
	name, _, _ := strings.Cut(string(n), ":")
	all := catalogue()
	i := slices.IndexFunc(all, func(e Entry) bool { return string(e.Name) == name })
	if i < 0 {
		return Entry{}, false
	}
	return all[i], true
}

// At is a sized quirk with its number: bytes, or tags.
func (n Name) At(size int64) Name { return Name(fmt.Sprintf("%s:%d", n, size)) }

// Fault is the fault of single requests that has the name. It strikes at byte at, where it has to do
// with bytes.
func (n Name) Fault(at int64) Fault {
	e, known := n.Lookup()
	if !known || e.Lasting {
		panic("registrytest: no fault of single requests: " + string(n))
	}
	return e.fault(at)
}

// With gives a registry quirks. Of two numbers of one quirk, the later counts.
func With(names ...Name) Option {
	return func(s *settings) {
		for _, n := range names {
			e, known := n.Lookup()
			_, number, numbered := strings.Cut(string(n), ":")
			size, err := strconv.ParseInt(number, 10, 64)
			if !known || !e.Lasting || e.Sized != (numbered && err == nil) {
				panic("registrytest: no quirk: " + string(n))
			}
			if s.quirks == nil {
				s.quirks = map[Name]int64{}
			}
			s.quirks[e.Name] = size
		}
	}
}

// has reports whether the registry has a quirk.
func (s settings) has(name Name) bool {
	_, has := s.quirks[name]
	return has
}

// over reports whether n is over the number of a sized quirk.
func (s settings) over(name Name, n int64) bool { return s.has(name) && n > s.quirks[name] }

func retryAfter(value string) http.Header { return http.Header{"Retry-After": {value}} }

func limited(after string) func(int64) Fault {
	return func(int64) Fault {
		f := Fault{Status: http.StatusTooManyRequests, Code: "TOOMANYREQUESTS"}
		if after != "" {
			f.Header = retryAfter(after)
		}
		return f
	}
}
