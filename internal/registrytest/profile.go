package registrytest

import "fmt"

// Known is a registry that is in use, and what it does otherwise than CNCF distribution 3.1 as far
// as it has been measured, documented or reported.
type Known struct {
	Name   string
	Quirks []Name
	// Source is where that is known from.
	Source string
	tokens *TokenConfig
}

// Profiles are all registries that [Profile] knows.
func Profiles() []Known {
	return []Known{
		{Name: "distribution3", Source: "distribution 3.1.2, measured: a cut upload is kept and says how much it has; no referrers API"},
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
			Source: "zot, measured: a cut PATCH or PUT deletes the session, finished chunks too; mounts whatever from says",
		},
		{
			Name:   "quay",
			Quirks: []Name{StatusNoLocation, StatusOffByOne, CutDropsChunk},
			Source: "Quay's code: the status has no Location and a Range that is off by one, as that of a 416; a cut chunk is dropped whole",
		},
		{
			Name:   "ecr",
			Quirks: []Name{Patch201, RangeStuck, MountCommitted, NoCatalog},
			Source: "Amazon ECR, reported: PATCH answers 201, Range stays that of the first chunk, and only what a manifest refers to is mounted",
		},
		{
			Name:   "ghcr",
			Quirks: []Name{Range416.At(4 << 20), LastPatchOnly, NoCatalog},
			Source: "GitHub, reported: 416 for more than 4.00MiB with Content-Range; several PATCHes keep the last one; no referrers API",
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

// Profile makes a registry what a known one is like: "harbor". Quirks that come after it are added,
// and replace the number of one that it has.
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
