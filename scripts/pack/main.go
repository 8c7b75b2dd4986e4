// Command pack makes an OCI layout with one multi-platform image out of static programs, FROM scratch. The same files and
// the same SOURCE_DATE_EPOCH (1970 if it is not set) give the same digests.
//
//	pack [FLAGS] DIR TAG linux/amd64=FILE linux/arm64=FILE
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// packer is what all platforms of the image have in common.
type packer struct {
	created     time.Time
	program     string // its name in the image
	base        v1.Layer
	config      v1.Config
	annotations map[string]string
}

func main() {
	flags := flag.NewFlagSet("pack", flag.ExitOnError)
	program := flags.String("program", "", "`NAME` of the program in the image, which runs it as /NAME")
	user := flags.String("user", "", "`UID` that runs the program; its home directory is /home/NAME")
	certificates := flags.String("certificates", "", "PEM `FILE` with the root certificates of the image")
	annotations := map[string]string{}
	flags.Func("annotation", "`KEY=VALUE` of the index, and label of the image; repeatable", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%q is not KEY=VALUE", text)
		}
		annotations[key] = value
		return nil
	})
	_ = flags.Parse(os.Args[1:]) // ends the process if it fails
	if *program == "" || flags.NArg() < 3 {
		fmt.Fprintln(os.Stderr, "usage: pack -program NAME [FLAGS] DIR TAG OS/ARCH=FILE...")
		os.Exit(2)
	}
	p := packer{program: *program, annotations: annotations}
	err := p.prepare(*user, *certificates)
	if err == nil {
		err = p.pack(flags.Arg(0), flags.Arg(1), flags.Args()[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// prepare sets what all platforms have in common. The layer below the program has what programs expect of a file system;
// it stays the same from version to version.
func (p *packer) prepare(user, certificates string) error {
	seconds, err := strconv.ParseInt("0"+os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	p.created = time.Unix(seconds, 0).UTC()
	p.config = v1.Config{Entrypoint: []string{"/" + p.program}, User: user}
	if len(p.annotations) > 0 {
		p.config.Labels = p.annotations
	}
	files := []file{{header: tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}}}
	if user != "" {
		uid, err := strconv.Atoi(user)
		if err != nil {
			return fmt.Errorf("-user: %w", err)
		}
		home := "home/" + p.program + "/"
		files = append(files,
			file{header: tar.Header{Name: "home/", Typeflag: tar.TypeDir, Mode: 0o755}},
			file{header: tar.Header{Name: home, Typeflag: tar.TypeDir, Mode: 0o700, Uid: uid, Gid: uid}})
		p.config.Env = []string{"HOME=/" + strings.TrimSuffix(home, "/")}
	}
	if certificates != "" {
		roots, err := os.ReadFile(certificates)
		if err != nil {
			return err
		}
		for _, dir := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/"} {
			files = append(files, file{header: tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}})
		}
		files = append(files, file{tar.Header{Name: "etc/ssl/certs/ca-certificates.crt", Typeflag: tar.TypeReg, Mode: 0o644}, roots})
	}
	p.base, err = layerOf(files)
	return err
}

func (p *packer) pack(dir, tag string, programs []string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, argument := range programs {
		name, path, ok := strings.Cut(argument, "=")
		if !ok {
			return fmt.Errorf("%q is not OS/ARCH=FILE", argument)
		}
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		image, err := p.image(path, *platform)
		if err != nil {
			return fmt.Errorf("image for %s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	if len(p.annotations) > 0 {
		annotated, ok := mutate.Annotations(index, p.annotations).(v1.ImageIndex)
		if !ok {
			return fmt.Errorf("annotate the index of %s", tag)
		}
		index = annotated
	}
	target, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return target.AppendIndex(index, layout.WithAnnotations(map[string]string{imagespec.AnnotationRefName: tag}))
}

// image is the image for one platform.
func (p *packer) image(path string, platform v1.Platform) (v1.Image, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	layer, err := layerOf([]file{{tar.Header{Name: p.program, Typeflag: tar.TypeReg, Mode: 0o755}, program}})
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: p.created}
	image, err := mutate.Append(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{Layer: p.base, History: v1.History{Created: created, CreatedBy: "COPY base /"}},
		mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "COPY " + p.program + " /" + p.program}},
	)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created, config.Config = created, p.config
	return mutate.ConfigFile(image, config)
}

// file is a file or a directory of a layer.
type file struct {
	header  tar.Header
	content []byte
}

// layerOf is a layer with these files, dated 1970.
func layerOf(files []file) (v1.Layer, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, f := range files {
		f.header.Size = int64(len(f.content))
		if err := writer.WriteHeader(&f.header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}
