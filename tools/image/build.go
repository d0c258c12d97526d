package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is who the binary runs as: nobody's, and the same as in the manifests.
const user = "65532:65532"

// spec is one image on several platforms.
type spec struct {
	name, version string
	tag           name.Tag
	created       time.Time
	binaries      []binary
}

type binary struct {
	platform v1.Platform
	file     string
}

func newSpec(image, version string, created time.Time, args []string) (spec, error) {
	tag, err := name.NewTag(image)
	if err != nil {
		return spec{}, fmt.Errorf("-name %q: %w", image, err)
	}
	s := spec{name: image, version: version, tag: tag, created: created}
	for _, arg := range args {
		text, file, ok := strings.Cut(arg, "=")
		platform, err := v1.ParsePlatform(text)
		if !ok || err != nil || platform.OS == "" || platform.Architecture == "" || file == "" {
			return spec{}, fmt.Errorf("%q: want OS/ARCHITECTURE=FILE", arg)
		}
		s.binaries = append(s.binaries, binary{*platform, file})
	}
	if len(s.binaries) == 0 {
		return spec{}, errors.New("no binary: want OS/ARCHITECTURE=FILE for each platform")
	}
	return s, nil
}

// build returns the index over the images, and the compressed size of each in bytes.
func build(s spec) (v1.ImageIndex, []int64, error) {
	images := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var sizes []int64
	for _, b := range s.binaries {
		image, size, err := imageOf(s, b)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", s.name, b.platform, err)
		}
		platform := b.platform
		images = mutate.AppendManifests(images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
		sizes = append(sizes, size)
	}
	// containerd takes the name from the first, podman and skopeo from the second. Docker Hub has a
	// second name in this library, which containerd and the kubelet do not know.
	full := strings.Replace(s.tag.Name(), name.DefaultRegistry+"/", "docker.io/", 1)
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: images,
		Descriptor: v1.Descriptor{Annotations: map[string]string{"io.containerd.image.name": full, "org.opencontainers.image.ref.name": full}}}), sizes, nil
}

func imageOf(s spec, b binary) (v1.Image, int64, error) {
	content, err := os.ReadFile(b.file)
	if err != nil {
		return nil, 0, err
	}
	if err := static(content, b.platform.Architecture); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", b.file, err)
	}
	program := "/" + path.Base(b.file)
	layer, err := layerOf(program, content, s.created)
	if err != nil {
		return nil, 0, err
	}
	image, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), layer)
	if err != nil {
		return nil, 0, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, 0, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = b.platform.OS, b.platform.Architecture, b.platform.Variant
	config.Created = v1.Time{Time: s.created}
	config.Config = v1.Config{Entrypoint: []string{program}, User: user, WorkingDir: "/", Labels: map[string]string{
		"org.opencontainers.image.title": path.Base(b.file), "org.opencontainers.image.version": s.version}}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, 0, err
	}
	size, err := layer.Size()
	return image, size, err
}

// machines are the architectures as an ELF file names them.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// static refuses what cannot run in an image that holds nothing else.
func static(content []byte, arch string) error {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if want, known := machines[arch]; known && file.Machine != want {
		return fmt.Errorf("is for %s", file.Machine)
	}
	libraries, err := file.ImportedLibraries()
	if err == nil && len(libraries) > 0 {
		err = fmt.Errorf("needs %s: build it with CGO_ENABLED=0", strings.Join(libraries, ", "))
	}
	return err
}

// layerOf is the whole file system: the program, and the roots that https in -probeurls is checked
// against. They come from a Go module and not from the machine, so that all machines make the same.
func layerOf(program string, content []byte, created time.Time) (v1.Layer, error) {
	var roots bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // trusted in part only, which a file of roots cannot say
		}
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, e := range []struct {
		name    string
		mode    int64
		content []byte
	}{{"etc/", 0o755, nil}, {"etc/ssl/", 0o755, nil}, {"etc/ssl/certs/", 0o755, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, roots.Bytes()}, {strings.TrimPrefix(program, "/"), 0o755, content}} {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: created, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}
