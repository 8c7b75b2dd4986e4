package content

import "regexp"

var attachedTag = regexp.MustCompile(`^sha(256|384|512)-[0-9a-f]{64}(\.[a-z0-9_-]+)?$`)

// IsAttachedTag reports whether a tag is named after a digest and so belongs to that image:
// a list of referrers ([FallbackTag]), or a signature, attestation or SBOM as cosign stores
// them. Such tags live and die with their image and are never selected by themselves.
func IsAttachedTag(tag string) bool { return attachedTag.MatchString(tag) }
