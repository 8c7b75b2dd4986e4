package mirror_test

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// The signature of an image that an entry names was explained as copied by nobody. It goes
// with its image, which is told where one of the tags that the entry names is that image;
// nothing is listed for it, and at the destination it has its own name whatever the image's is.
func TestExplainWhatBelongsToAnImage(t *testing.T) {
	w := worldOf("src.example", "dst.example")
	w.push(t, "src.example/db:1")
	w.push(t, "src.example/web:1.0")
	w.push(t, "src.example/kept:sha256-"+digest+".sig")
	signatureOf := func(name string) string {
		image, err := reference.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		source, err := w.OpenSource(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		d, err := source.Resolve(t.Context(), image.Tag)
		if err != nil {
			t.Fatal(err)
		}
		return content.FallbackTag(d.Digest) + ".sig"
	}
	db, web, child := signatureOf("src.example/db:1"), signatureOf("src.example/web:1.0"), "sha256-"+digest+".att"
	const config = `
sync:
  - {name: db, from: 'src.example/db:1', to: 'dst.example/db:stable'}
  - {name: web, from: src.example/web, to: 'dst.example/web:x-{{.Tag}}', tags: {include: ['1.0', '2*']}}
  - {name: bare, from: 'src.example/bare:1', to: dst.example/bare, referrers: false}
  - {name: itself, from: 'src.example/kept:sha256-` + digest + `.sig', to: dst.example/kept}
`
	for name, ref := range map[string]string{
		"an image's":                     "src.example/db:" + db,
		"an image's at the destination":  "dst.example/db:" + db,
		"a child's":                      "src.example/db:" + child,
		"a tag's":                        "src.example/web:" + web,
		"a tag's at the destination":     "dst.example/web:" + web,
		"without referrers":              "src.example/bare:" + child,
		"named itself":                   "src.example/kept:sha256-" + digest + ".sig",
		"named itself, destination":      "dst.example/kept:sha256-" + digest + ".sig",
		"of a repository without images": "src.example/other:" + child,
	} {
		t.Run(name, func(t *testing.T) {
			asked, err := reference.Parse(ref)
			if err != nil {
				t.Fatal(err)
			}
			found, err := mirror.Explain(t.Context(), transfer.New(w, transfer.Options{}),
				&mirror.Selection{Config: load(t, config), Sources: w}, asked, report.Options{})
			if err != nil {
				t.Fatal(err)
			}
			named := strings.NewReplacer(db, "SIGNATURE", web, "SIGNATURE")
			golden.Text(t, named.Replace(explained(found.Findings)))
		})
	}
}
