package content

import (
	"errors"
	"strings"
	"testing"
)

// An index of 4 MiB of empty descriptors took 497 MiB to decode.
func TestCheckJSON(t *testing.T) {
	for name, test := range map[string]struct {
		raw  string
		many bool
	}{
		"nothing":            {"", false},
		"an object":          {`{"a":[1,2,{"b":null}]}`, false},
		"many elements":      {"[0" + strings.Repeat(",0", maxValues) + "]", true},
		"many empty objects": {"[{}" + strings.Repeat(",{}", maxValues/2) + "]", true},
		"deep":               {strings.Repeat("[", maxValues+1), true},
		"in a string":        {`"` + strings.Repeat("{,[", maxValues) + `"`, false},
		"after a quote":      {`"\"` + strings.Repeat("{,[", maxValues) + `"`, false},
		"after a backslash":  {`"\\"` + strings.Repeat("{,[", maxValues), true},
		"at the limit":       {"[0" + strings.Repeat(",0", maxValues-1) + "]", false},
	} {
		if err := CheckJSON([]byte(test.raw)); errors.Is(err, ErrInvalid) != test.many || (err != nil) != test.many {
			t.Errorf("%s: got %v, want an error: %v", name, err, test.many)
		}
	}
}
