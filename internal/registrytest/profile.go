package registrytest

import "fmt"

// Known is a real registry and its differences from CNCF distribution 3.1, as far as they have been measured,
// documented or reported.
type Known struct {
	Name   string
	Quirks []Name
	// Source is the source of this knowledge.
	Source string
	tokens *TokenConfig
}

// Profiles returns all registries that [Profile] knows.
func Profiles() []Known {
	return []Known{
		{Name: "distribution3", Source: "distribution 3.1.2, measured: a cut upload is kept, and its status states how many bytes it has; no referrers API"},
		{
			Name:   "registry2",
			Quirks: []Name{Status404AfterCut, ContentRangeIgnored, TagDeleteRefused},
			Source: "distribution 2.8.3, measured: a cut body makes the status 404 BLOB_UPLOAD_INVALID (harbor issue 17944); an out-of-order PATCH gets 202",
		},
		{
			Name:   "harbor",
			Quirks: []Name{Status404AfterCut, ContentRangeIgnored, TagDeleteRefused, ReferrersAPI},
			Source: "Harbor 2.10 to 2.15 builds distribution 2.8.3, and serves the referrers API",
		},
		{
			Name:   "zot",
			Quirks: []Name{CutDeletesSession, MountAny, ReferrersAPI},
			Source: "zot, measured: a cut PATCH or PUT deletes the session, including finished chunks; a mount ignores the repository in from",
		},
		{
			Name:   "quay",
			Quirks: []Name{StatusNoLocation, StatusOffByOne, CutDropsChunk},
			Source: "Quay's code: the status has no Location, and its Range is off by one, like that of a 416; a cut chunk is dropped entirely",
		},
		{
			Name:   "ecr",
			Quirks: []Name{Patch201, RangeStuck, MountCommitted, NoCatalog},
			Source: "Amazon ECR, reported: PATCH answers 201, Range never advances past the first chunk, and only blobs that a manifest refers to are mounted",
		},
		{
			Name:   "ghcr",
			Quirks: []Name{Range416.At(4 << 20), LastPatchOnly, NoCatalog},
			Source: "GitHub, reported: 416 for more than 4.00MiB with Content-Range; of several PATCHes only the last one is kept; no referrers API",
		},
		{
			Name:   "gar",
			Quirks: []Name{PatchRefused, TokenForOne},
			Source: "Google Artifact Registry, reported: one PUT only; tokens for one repository each",
			tokens: &TokenConfig{},
		},
		{
			Name:   "azure",
			Quirks: []Name{Put413.At(20 << 20), CutDeletesSession},
			Source: "Azure, reported (harbor issue 23015): 413 for a PUT of more than about 20 MB, PATCHes work; after a reset the session is gone",
		},
		{
			Name:   "hub",
			Quirks: []Name{QuotaHeaders, NoCatalog, TwoComponents},
			Source: "Docker Hub's documentation: ratelimit headers, tokens for 300 s, two components of a path, no _catalog",
			tokens: &TokenConfig{},
		},
		{
			Name:   "acr-personal",
			Quirks: []Name{ImagesOnly, TwoComponents, NoCatalog, BlobRedirect},
			Source: "Aliyun ACR Personal Edition: namespace/repository only, blobs from OSS, no _catalog; reported: manifests of images only",
			tokens: &TokenConfig{},
		},
		{
			Name:   "acr-enterprise",
			Quirks: []Name{TagImmutable, NoCatalog, BlobRedirect},
			Source: "Aliyun ACR Enterprise Edition with immutable tags: the requested tag already exists and cannot be overwritten",
			tokens: &TokenConfig{},
		},
	}
}

// Profile gives a registry the quirks of a real one, such as "harbor". Later options add quirks, or replace the
// number of a sized one.
func Profile(name string) Option {
	for _, known := range Profiles() {
		if known.Name == name {
			return func(s *settings) {
				With(known.Quirks...)(s)
				if known.tokens != nil {
					s.tokens = known.tokens
				}
			}
		}
	}
	panic(fmt.Sprintf("registrytest: no profile %q", name))
}
