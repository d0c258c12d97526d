package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// program builds a static program for a platform.
func program(t *testing.T, arch string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "netchecker-test")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", file, "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return file
}

func none(string) string { return "" }

func TestImage(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-name", "netchecker-test:v1", "-version", "v1-3-gabc", "linux/amd64=" + program(t, "amd64"), "linux/arm64=" + program(t, "arm64")}
	first, second := filepath.Join(dir, "first.tar"), filepath.Join(dir, "again", "second.tar")
	for _, out := range []string{first, second} {
		if err := run(append([]string{"-out", out}, args...), none); err != nil {
			t.Fatal(err)
		}
	}
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(second); err != nil || !bytes.Equal(a, b) {
		t.Errorf("two runs, two images (%v)", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".image-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}

	manifest, index := unpack(t, a)
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if got := manifest.Manifests[0].Annotations[key]; got != "docker.io/library/netchecker-test:v1" {
			t.Errorf("%s %q: containerd and the kubelet know Docker's images by their long name", key, got)
		}
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	images, err := index.IndexManifest()
	if err != nil || len(images.Manifests) != 2 {
		t.Fatalf("%d images, %v", len(images.Manifests), err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		image, err := index.Image(images.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, image, images.Manifests[i], arch)
	}
}

func checkImage(t *testing.T, image v1.Image, d v1.Descriptor, arch string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if d.Platform.Architecture != arch || config.Architecture != arch || config.OS != "linux" {
		t.Errorf("platform %v, %s/%s", d.Platform, config.OS, config.Architecture)
	}
	if c := config.Config; strings.Join(c.Entrypoint, " ") != "/netchecker-test" || c.User != "65532:65532" || c.Labels["org.opencontainers.image.version"] != "v1-3-gabc" {
		t.Errorf("config %+v", c)
	}
	files := mutate.Extract(image)
	defer files.Close()
	var names []string
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimSuffix(h.Name, "/"))
		if h.Uid != 0 || h.Mode&0o022 != 0 || !h.ModTime.Equal(config.Created.Time) {
			t.Errorf("%s: owner %d, mode %o, %v", h.Name, h.Uid, h.Mode, h.ModTime)
		}
		if strings.HasSuffix(h.Name, ".crt") {
			if content, err := io.ReadAll(r); err != nil || bytes.Count(content, []byte("BEGIN CERTIFICATE")) < 50 {
				t.Errorf("%d bytes of certificates, %v", len(content), err)
			}
		}
	}
	if got := strings.Join(names, " "); got != "etc etc/ssl etc/ssl/certs etc/ssl/certs/ca-certificates.crt netchecker-test" {
		t.Errorf("holds %s", got)
	}
}

// unpack returns the archive's own index, and the index of images in it.
func unpack(t *testing.T, archive []byte) (v1.IndexManifest, v1.ImageIndex) {
	t.Helper()
	dir := t.TempDir()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest v1.IndexManifest
	if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return manifest, index
}

// TestBadInput: what is wrong is named, and no file is left.
func TestBadInput(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.tar")
	good := "linux/amd64=" + program(t, "amd64")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\nexec /bin/true # no ELF file\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		epoch, want string
		args        []string
	}{
		{want: `-out: want a file`, args: []string{"-name", "a:b", good}},
		{want: `-name "A:b"`, args: []string{"-out", out, "-name", "A:b", good}},
		{want: `-name ""`, args: []string{"-out", out, good}},
		{want: `no binary`, args: []string{"-out", out, "-name", "a:b"}},
		{want: `"amd64=x": want OS/ARCHITECTURE=FILE`, args: []string{"-out", out, "-name", "a:b", "amd64=x"}},
		{want: `"linux/amd64": want OS/ARCHITECTURE=FILE`, args: []string{"-out", out, "-name", "a:b", "linux/amd64"}},
		{want: `no such file`, args: []string{"-out", out, "-name", "a:b", "linux/amd64=/nowhere"}},
		{want: `bad magic number`, args: []string{"-out", out, "-name", "a:b", "linux/amd64=" + text}},
		{want: `is for EM_X86_64`, args: []string{"-out", out, "-name", "a:b", strings.Replace(good, "amd64", "arm64", 1)}},
		{want: `SOURCE_DATE_EPOCH "yesterday": want seconds`, epoch: "yesterday", args: []string{"-out", out, "-name", "a:b", good}},
	} {
		err := run(bad.args, func(string) string { return bad.epoch })
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q: %v, want %s", bad.args, err, bad.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file in spite of the error")
	}
}

// TestDynamicProgramIsRefused: it would start nowhere, with "no such file or directory".
func TestDynamicProgramIsRefused(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := static(shell, runtime.GOARCH); err == nil || !strings.Contains(err.Error(), "build it with CGO_ENABLED=0") {
		t.Errorf("%v", err)
	}
}
