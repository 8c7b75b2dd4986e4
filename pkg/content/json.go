package content

import "fmt"

// maxValues bounds the values of a JSON document: members of objects and elements of arrays. It is ten for
// each of the 10,000 manifests and blobs that an image may have.
const maxValues = 100_000

// CheckJSON refuses a document that takes far more memory when it is decoded than it has bytes: "{},{},…" as a
// list of descriptors takes sixty times as much. It counts values and does not check the syntax. The error is
// an [ErrInvalid].
func CheckJSON(raw []byte) error {
	values, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			values++
		}
	}
	if values > maxValues {
		return fmt.Errorf("%w: more than %d values in a JSON document", ErrInvalid, maxValues)
	}
	return nil
}
