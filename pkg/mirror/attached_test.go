package mirror_test

import (
	"testing"

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
	for ref, want := range map[string][]string{
		"src.example/db:" + db: {
			"db (src.example/db:1): src.example/db:" + db + " left out, it belongs to src.example/db:1, and goes with it, absent",
			"  dst.example/db:" + db + " absent ",
		},
		"dst.example/db:" + db: {
			"db (src.example/db:1): src.example/db:" + db + " left out, it belongs to src.example/db:1, and goes with it, absent",
			"  dst.example/db:" + db + " absent ",
		},
		"src.example/db:" + child: {
			"db (src.example/db:1): src.example/db:" + child + " left out, it belongs to an image, and goes with it, absent",
			"  dst.example/db:" + child + " absent ",
		},
		"src.example/web:" + web: {
			"web (src.example/web): src.example/web:" + web + " left out, it belongs to src.example/web:1.0, and goes with it, absent",
			"  dst.example/web:" + web + " absent ",
		},
		"dst.example/web:" + web: {
			"web (src.example/web): src.example/web:" + web + " left out, it belongs to src.example/web:1.0, and goes with it, absent",
			"  dst.example/web:" + web + " absent ",
		},
		"src.example/bare:" + child: {
			"bare (src.example/bare:1): src.example/bare:" + child +
				" left out, it belongs to an image, and the entry brings no signatures or other referrers, absent",
			"  dst.example/bare:" + child + " absent ",
		},
		"src.example/kept:sha256-" + digest + ".sig": {
			"itself (src.example/kept:sha256-" + digest + ".sig): src.example/kept:sha256-" + digest + ".sig taken, there",
			"  dst.example/kept:sha256-" + digest + ".sig absent add",
		},
		"dst.example/kept:sha256-" + digest + ".sig": {
			"itself (src.example/kept:sha256-" + digest + ".sig): src.example/kept:sha256-" + digest + ".sig taken, there",
			"  dst.example/kept:sha256-" + digest + ".sig absent add",
		},
		"src.example/other:" + child: nil,
	} {
		t.Run(ref, func(t *testing.T) {
			asked, err := reference.Parse(ref)
			if err != nil {
				t.Fatal(err)
			}
			found, err := mirror.Explain(t.Context(), transfer.New(w, transfer.Options{}),
				&mirror.Selection{Config: load(t, config), Sources: w}, asked, report.Options{})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, explained(found.Findings), want)
		})
	}
}
