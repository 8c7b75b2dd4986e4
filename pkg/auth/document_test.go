package auth

import (
	"strings"
	"testing"
)

// FuzzDocument holds that what others have written is read or refused, that every
// credential read can be written and read again, and that no error quotes a secret.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{
		"", "null", "{", `{"auths": null}`, `{"auths": {"a": {"auth": "bWU6cGE6c3M="}}, "credsStore": "x"}`,
		`{"auths": {"https://index.docker.io/v1/": {"identitytoken": "s3cret"}, "docker.io/team": {"username": "me", "password": "s3cret"}}}`,
		`{"auths": {"a": {"auth": "s3cret%"}}}`, `{"auths": {"a": {"auth": "s3cret}}`, `{"credHelpers": {"a/b": "x", "A": "y"}}`,
		`{"auths": {"a": {"auth": {"s3cret": 1}}}}`, "{\"auths\": {\"\": {}, \"/\": {}, \"://\": {}}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDocument("FILE", []byte(text))
		if err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a secret is quoted: %v", err)
			}
			return
		}
		for key := range d.Auths {
			p := placeOf(key)
			d.helper(p, "FILE")
			c, listed, err := d.entry("FILE", p)
			if err != nil {
				continue
			}
			if !listed {
				t.Errorf("the entry of %q is not found as %v", key, p)
			}
			again, err := decodeEntry(encodeEntry(c))
			if c.Username != "" && !strings.Contains(c.Username, ":") && strings.Trim(c.Password.Reveal(), "\x00") == c.Password.Reveal() &&
				(err != nil || again != c) {
				t.Errorf("%#v was read again as %#v, %v", c, again, err)
			}
		}
	})
}
