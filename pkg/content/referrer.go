package content

// Referrer describes m as lists of referrers do (OCI distribution specification, "Listing
// Referrers"): with the annotations of the manifest, and its artifact type, which is the
// media type of the config where the manifest states none.
func (m *Manifest) Referrer() Descriptor {
	d := Descriptor{
		MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size,
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}
	if d.ArtifactType == "" && m.Config != nil {
		d.ArtifactType = m.Config.MediaType
	}
	return d
}
