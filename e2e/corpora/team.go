// Package corpora has the repositories that figures and benchmarks copy. Each is written into a
// storage; its layers are random bytes, the same in every run, so they do not compress.
package corpora

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/storage"
)

// Team is 20 repositories with 280 tags, those of 80 signatures among them, and 764 blobs of
// 252 kB at most, 117 MB in all.
func Team() Apps {
	return Apps{
		Platforms: []string{"linux/amd64", "linux/arm64"},
		Layer:     252_000,
		Tags: map[string]string{
			"1.0": "1.0", "1.1": "1.1", "1.2": "1.2", "2.0": "2.0", "2.1": "2.1",
			"1": "1.2", "lts": "1.2", "stable": "2.0", "2": "2.1", "latest": "2.1",
		},
		Attach: func(r *storage.Repository, images map[string]v1.Descriptor) {
			for _, version := range []string{"1.1", "1.2", "2.0", "2.1"} {
				r.Sign(images[version])
			}
		},
	}
}

// Apps is what the images of a team look like. Each repository has indexes 2.0 and 2.1 of
// all platforms, and images 1.0, 1.1 and 1.2 of the first one.
type Apps struct {
	Platforms []string
	Layer     int64 // bytes of each layer
	// Tags are the tags of each repository, and the image that each points at.
	Tags map[string]string
	// Attach signs a repository's images, or adds artifacts about them; nil leaves them.
	Attach func(r *storage.Repository, images map[string]v1.Descriptor)
}

// Repositories is how many a team has.
const Repositories = 20

// Fill puts the team's repositories into a storage.
func (a Apps) Fill(s *storage.Storage) {
	for n := range Repositories {
		r := s.Repository(fmt.Sprintf("team/app%02d", n))
		images := a.images(r, n)
		for tag, image := range a.Tags {
			r.Tag(tag, images[image])
		}
		if a.Attach != nil {
			a.Attach(r, images)
		}
	}
}

func (a Apps) images(r *storage.Repository, n int) map[string]v1.Descriptor {
	images := map[string]v1.Descriptor{}
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		images[version] = a.image(r, n, version, a.Platforms[0])
	}
	for _, version := range []string{"2.0", "2.1"} {
		var children []v1.Descriptor
		for _, platform := range a.Platforms {
			child := a.image(r, n, version, platform)
			images[version+" "+platform] = child
			children = append(children, child)
		}
		images[version] = r.Index(children...)
	}
	return images
}

// image has three layers of one of four distributions, two of one of five runtimes, and
// three of its own.
func (a Apps) image(r *storage.Repository, n int, version, platform string) v1.Descriptor {
	own := fmt.Sprintf("%s %s", r.Name, version)
	var layers []v1.Descriptor
	for _, part := range []struct {
		name   string
		layers int
	}{
		{fmt.Sprintf("distribution %d", n%4), 3},
		{fmt.Sprintf("runtime %d", n/4), 2},
		{own, 3},
	} {
		for i := range part.layers {
			layers = append(layers, r.Layer(fmt.Sprintf("%s %s %d", part.name, platform, i), a.Layer))
		}
	}
	return r.Image(platform, own, layers...)
}
