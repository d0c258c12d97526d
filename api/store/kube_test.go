package store

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestTheManifestsCarryTheSameDefinition(t *testing.T) {
	for _, path := range []string{"../../deploy/base/crd.yaml", "../../deploy/helm/netchecker/files/crd.yaml"} {
		copied, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(copied, crd) {
			t.Errorf("%s differs from api/store/crd.yaml: copy it", path)
		}
	}
	if want := schemaKey + ": " + strconv.Quote(strconv.Itoa(schemaNumber)); !strings.Contains(string(crd), want) {
		t.Errorf("crd.yaml has no %s", want)
	}
}

func TestOpenKubeRefusesWhatCannotBe(t *testing.T) {
	if k, err := OpenKube(&rest.Config{Host: "http://[::1"}, "default", logTo(&lines{})); err == nil {
		k.Close()
		t.Error("a host that is none")
	}
}
