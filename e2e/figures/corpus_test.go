package figures

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// corpus is what the images of a team look like. Each repository has indexes 2.0 and 2.1 of
// all platforms, and images 1.0, 1.1 and 1.2 of the first one.
type corpus struct {
	platforms []string
	layer     int64 // bytes of each layer
	// tags are the tags of each repository, and the image that each points at.
	tags map[string]string
	// attach signs a repository's images, or adds artifacts about them; nil leaves them.
	attach func(r *lab.Repository, images map[string]v1.Descriptor)
}

// repositories is how many a team has.
const repositories = 20

// fill puts the team's repositories into a storage.
func (c corpus) fill(s *lab.Storage) {
	for n := range repositories {
		r := s.Repository(fmt.Sprintf("team/app%02d", n))
		images := c.images(r, n)
		for tag, image := range c.tags {
			r.Tag(tag, images[image])
		}
		if c.attach != nil {
			c.attach(r, images)
		}
	}
}

func (c corpus) images(r *lab.Repository, n int) map[string]v1.Descriptor {
	images := map[string]v1.Descriptor{}
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		images[version] = c.image(r, n, version, c.platforms[0])
	}
	for _, version := range []string{"2.0", "2.1"} {
		var children []v1.Descriptor
		for _, platform := range c.platforms {
			child := c.image(r, n, version, platform)
			images[version+" "+platform] = child
			children = append(children, child)
		}
		images[version] = r.Index(children...)
	}
	return images
}

// image has three layers of one of four distributions, two of one of five runtimes, and
// three of its own.
func (c corpus) image(r *lab.Repository, n int, version, platform string) v1.Descriptor {
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
			layers = append(layers, r.Layer(fmt.Sprintf("%s %s %d", part.name, platform, i), c.layer))
		}
	}
	return r.Image(platform, own, layers...)
}
