package content

import "fmt"

// maxValues bounds the values of a JSON document, and of all manifests of an image: members of objects and elements of
// arrays. It is ten for each of the 10,000 manifests and blobs that an image may have.
const maxValues = 100_000

// CheckJSON refuses a document that takes far more memory when it is decoded than it has bytes: "{},{},…" as a
// list of descriptors takes sixty times as much. It does not check the syntax. The error is an [ErrInvalid].
func CheckJSON(raw []byte) error { return checkValues(countValues(raw)) }

func checkValues(n int) error {
	if n > maxValues {
		return fmt.Errorf("%w: more than %d values in a JSON document", ErrInvalid, maxValues)
	}
	return nil
}

// countValues counts the values of a JSON document.
func countValues(raw []byte) (values int) {
	quoted := false
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
	return values
}
