package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Name names a fault of the [Catalogue]. [Server.Fail] and [Server.FailTimes] inject a fault of single requests,
// which [Name.Fault] returns; [With] adds a lasting fault, a quirk.
type Name string

// Faults of single requests. Those that concern a body strike at the byte that is passed to [Name.Fault].
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

// Quirks.
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

// Side is the side of a copy at which a fault occurs.
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
	// Sized quirks have a number; see [Name.At].
	Sized bool
	Means string
	fault func(at int64) Fault // nil for a quirk
}

// catalogue returns the descriptions of all faults, and the implementation of those of single requests.
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
		once(Reset, AtBoth, "the connection is reset (TCP RST) at byte N of the body of the request or the answer",
			func(at int64) Fault { return Fault{Cut: true, After: at} }),
		once(CleanEnd, AtBoth, "the connection is closed (TCP FIN) at byte N of the body",
			func(at int64) Fault { return Fault{End: true, After: at} }),
		once(Stall, AtBoth, "no byte follows byte N of the body, and the connection stays open",
			func(at int64) Fault { return Fault{Hang: true, After: at} }),
		once(Drip, AtBoth, "from byte N on, the body is transferred at 4 KiB a second",
			func(at int64) Fault { return Fault{Drip: time.Second, After: at} }),
		once(CommitLost, AtDestination, "the registry performs the request, and resets the connection instead of answering",
			func(int64) Fault { return Fault{LoseAnswer: true} }),
		once(Status500, AtBoth, "500 UNKNOWN", func(int64) Fault { return Fault{Status: 500, Code: "UNKNOWN"} }),
		once(Status502, AtBoth, "502 without a body, as from a proxy", func(int64) Fault { return Fault{Status: 502} }),
		once(Status503, AtBoth, "503 with Retry-After: 1", func(int64) Fault { return Fault{Status: 503, Header: retryAfter("1")} }),
		once(Status504, AtBoth, "504 without a body, as from a proxy", func(int64) Fault { return Fault{Status: 504} }),
		once(Limited, AtBoth, "429 without Retry-After, as Docker Hub's abuse limit sends", limited("")),
		once(LimitedFor, AtBoth, "429 with Retry-After in seconds", limited("2")),
		once(LimitedDate, AtBoth, "429 with Retry-After as a date", func(int64) Fault {
			return limited(time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat))(0)
		}),
		once(LimitedUnix, AtBoth, "429 with Retry-After as a Unix time, as Docker Hub's API has been seen to send", func(int64) Fault {
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
		once(WrongLength, AtSource, "the answer is one byte short, and Content-Length matches it",
			func(int64) Fault { return Fault{Alter: func(raw []byte) []byte { return raw[:len(raw)-1] }} }),
		once(EndsEarly, AtSource, "the answer has no Content-Length, and ends normally at byte N",
			func(at int64) Fault {
				return Fault{NoLength: true, Alter: func(raw []byte) []byte { return raw[:min(at, int64(len(raw)))] }}
			}),
		once(LayerMissing, AtSource, "404 BLOB_UNKNOWN for a blob that a manifest names",
			func(int64) Fault { return Fault{Status: 404, Code: "BLOB_UNKNOWN"} }),
		once(DeadRedirect, AtSource, "307 to a host that refuses connections",
			func(int64) Fault {
				return Fault{Status: 307, Header: http.Header{"Location": {"http://127.0.0.1:1/storage"}}}
			}),
		once(UnknownBlob, AtDestination, "400 MANIFEST_BLOB_UNKNOWN for a manifest whose blobs exist",
			func(int64) Fault { return Fault{Status: 400, Code: "MANIFEST_BLOB_UNKNOWN"} }),

		quirk(RangeIgnored, AtSource, "a range request is answered with 200 and the whole blob"),
		quirk(RangeWrong, AtSource, "a range request is answered with a different range, which Content-Range states"),
		quirk(RangeShifted, AtSource, "a range request is answered with a range that starts one byte too early, but Content-Range states the requested one"),
		quirk(GzipUnasked, AtSource, "200 answers to GET of blobs and manifests have Content-Encoding: gzip, whatever Accept-Encoding says"),
		quirk(TagMoves, AtSource, "after tag T is read, it moves to the manifest of T-next"),
		quirk(BlobRedirect, AtSource, "GET and HEAD of blobs are answered with 307 to a signed URL of a second host, which refuses requests that also have Authorization (400), as S3 does"),
		quirk(StatusOffByOne, AtDestination, "the Range of a session's status and of a 416 ends one byte too late"),
		quirk(StatusNoLocation, AtDestination, "a session's status has no Location; the session's first Location stays valid"),
		quirk(Status404AfterCut, AtDestination, "after a cut body, every request to the session is answered with 404 BLOB_UPLOAD_INVALID"),
		quirk(CutDeletesSession, AtDestination, "a cut body deletes the session, including finished chunks"),
		quirk(CutDropsChunk, AtDestination, "the bytes of a cut body are dropped; the session stays open"),
		quirk(ContentRangeIgnored, AtDestination, "bytes are appended, whatever Content-Range says"),
		quirk(RangeStuck, AtDestination, "the Range of a session never advances past its first chunk"),
		quirk(Patch201, AtDestination, "PATCH is answered with 201"),
		quirk(PatchRefused, AtDestination, "PATCH is answered with 405 UNSUPPORTED"),
		quirk(LastPatchOnly, AtDestination, "a session keeps only the bytes of its last PATCH, but its status counts the bytes of all of them"),
		sized(Request413, AtDestination, "413 for a request of more than N bytes, before its body is read and without an error document, as nginx does with client_max_body_size"),
		sized(Put413, AtDestination, "413 for a PUT of more than N bytes, but for no PATCH"),
		sized(Range416, AtDestination, "416 for a request with Content-Range of more than N bytes"),
		quirk(CancelRefused, AtDestination, "DELETE of a session is answered with 401, as distribution does for a token without the action delete"),
		quirk(LocationElsewhere, AtDestination, "uploads go to a second host, which needs no Authorization"),
		quirk(Mount202, AtDestination, "every mount is answered with 202 and a session, also one from the same repository"),
		quirk(Mount400, AtDestination, "a mount from another repository is answered with 400"),
		quirk(Mount401, AtDestination, "a mount from another repository is answered with 401"),
		quirk(Mount404, AtDestination, "a mount from another repository is answered with 404 NAME_UNKNOWN"),
		quirk(MountCommitted, AtDestination, "a mount is answered with 202 and a session, unless a manifest in the other repository refers to the blob"),
		quirk(MountAny, AtDestination, "a mount succeeds if any repository has the blob, whatever repository it names"),
		quirk(ProbeRefused, AtDestination, "a mount from the same repository is answered with 202 and a session, whether or not the blob exists"),
		quirk(InGC, AtDestination, "a mount succeeds, but until the blob is uploaded, HEAD of it and a manifest that refers to it are answered with 404, as Harbor does during garbage collection"),
		quirk(TagImmutable, AtDestination, "an existing tag cannot be moved: 400 TAG_INVALID"),
		quirk(TagDeleteRefused, AtDestination, "DELETE by tag is answered with 400 DIGEST_INVALID"),
		quirk(ImagesOnly, AtDestination, `manifests whose config is not an image config are answered with 403 DENIED, as distribution does with the policy "classes: [image]"`),
		quirk(NoLayerURLs, AtDestination, "images with foreign layers are answered with 500 UNKNOWN, as distribution does unless its configuration allows the URLs"),
		quirk(ReferrersAPI, AtBoth, "the referrers API is served"),
		quirk(NoCatalog, AtBoth, "_catalog is answered with 404"),
		quirk(TwoComponents, AtDestination, "writing to a repository whose name has three or more components is answered with 403 DENIED"),
		quirk(TokenForOne, AtBoth, "a token is for one repository, the first one requested"),
		sized(TagPages, AtBoth, "a page of a listing has at most N tags, whatever number the client requests"),
		quirk(QuotaHeaders, AtBoth, "each GET of a manifest takes one of the 100 pulls that its account has in 6 hours; answers about manifests have ratelimit-limit and ratelimit-remaining; when none are left, the answer is 429 TOOMANYREQUESTS, as at Docker Hub"),
	}
}

// Catalogue returns all faults, those of single requests first. docs/FAULTS.md is generated from it.
func Catalogue() []Entry { return catalogue() }

// Lookup returns the row of a name, with or without the number that [Name.At] adds.
func (n Name) Lookup() (Entry, bool) {
	name, _, _ := strings.Cut(string(n), ":")
	all := catalogue()
	i := slices.IndexFunc(all, func(e Entry) bool { return string(e.Name) == name })
	if i < 0 {
		return Entry{}, false
	}
	return all[i], true
}

// At adds its number, of bytes or tags, to a sized quirk.
func (n Name) At(size int64) Name { return Name(fmt.Sprintf("%s:%d", n, size)) }

// Fault returns the fault of single requests with that name. A fault that concerns a body strikes at byte at.
func (n Name) Fault(at int64) Fault {
	e, known := n.Lookup()
	if !known || e.Lasting {
		panic("registrytest: not a fault of single requests: " + string(n))
	}
	return e.fault(at)
}

// With adds quirks to a registry. If a quirk has two numbers, the later one wins.
func With(names ...Name) Option {
	return func(s *settings) {
		for _, n := range names {
			e, known := n.Lookup()
			_, number, numbered := strings.Cut(string(n), ":")
			size, err := strconv.ParseInt(number, 10, 64)
			if !known || !e.Lasting || e.Sized != (numbered && err == nil) {
				panic("registrytest: not a quirk, or a wrong size: " + string(n))
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

// over reports whether n exceeds the number of a sized quirk.
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
