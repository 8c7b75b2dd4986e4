package content

// VerifyBytes checks raw against d, which has passed [CheckDescriptor], taking a size of zero as unknown.
func VerifyBytes(raw []byte, d Descriptor) error {
	got := d.Digest.Algorithm().FromBytes(raw)
	if got != d.Digest || d.Size > 0 && int64(len(raw)) != d.Size {
		return &MismatchError{Want: d, GotSize: int64(len(raw)), GotDigest: got}
	}
	return nil
}
