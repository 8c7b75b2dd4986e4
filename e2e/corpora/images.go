package corpora

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/storage"
)

// mega is a megabyte.
const mega = 1_000_000

// Large is 5 images with the sizes of well-known ones on Debian, all on one base of 93 MB. They have 948 MB
// in 13 layers, the largest of 426 MB; a tool that sends the base five times sends 1,320 MB.
func Large(s *storage.Storage) {
	for _, image := range []struct {
		name   string
		layers []int64 // beside the base, in MB
	}{
		{"vim", []int64{36}},
		{"nginx", []int64{44, 3}},
		{"python", []int64{120, 24, 6}},
		{"databases", []int64{146, 34, 12}},
		{"compilers", []int64{426, 3, 1}},
	} {
		r := s.Repository("corpus/" + image.name)
		layers := []v1.Descriptor{r.Layer("base of the corpus", 93*mega)}
		for i, size := range image.layers {
			layers = append(layers, r.Layer(fmt.Sprintf("%s %d", r.Name, i), size*mega))
		}
		r.Tag("1", r.Image("linux/amd64", r.Name, layers...))
	}
}

// Huge is one image with one layer of 2 GiB.
func Huge(s *storage.Storage) {
	r := s.Repository("huge/model")
	r.Tag("1", r.Image("linux/amd64", r.Name, r.Layer(r.Name, 2<<30)))
}

// Wide returns a function that makes 200 repositories with the given number of tags in all, each tag with a small image of
// its own.
func Wide(tags int) func(*storage.Storage) {
	const repositories = 200
	return func(s *storage.Storage) {
		for n := range repositories {
			r := s.Repository(fmt.Sprintf("wide/app%03d", n))
			layer := r.Layer(r.Name, 1000)
			for i := range tags / repositories {
				tag := fmt.Sprintf("1.%d", i)
				r.Tag(tag, r.Image("linux/amd64", r.Name+" "+tag, layer))
			}
		}
	}
}

// Deep is 200 images of 30 layers in 40 repositories, on 12 bases of 20 layers: 2,240 layers, 125 MB.
func Deep(s *storage.Storage) {
	const repositories, tags, bases, shared, own = 40, 5, 12, 20, 10
	for n := range repositories {
		r := s.Repository(fmt.Sprintf("deep/app%02d", n))
		for i := range tags {
			var layers []v1.Descriptor
			for k := range shared {
				layers = append(layers, r.Layer(fmt.Sprintf("base %d, layer %d", n%bases, k), 256_000))
			}
			name := fmt.Sprintf("%s %d", r.Name, i)
			for k := range own {
				layers = append(layers, r.Layer(fmt.Sprintf("%s, layer %d", name, k), 32_000))
			}
			r.Tag(fmt.Sprint(i), r.Image("linux/amd64", name, layers...))
		}
	}
}
