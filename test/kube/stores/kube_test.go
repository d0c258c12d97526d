package stores

import (
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"netchecker/api"
	"netchecker/api/store"
	"netchecker/api/store/storetest"
)

func openKube(t *testing.T, config *rest.Config, namespace string) (*store.Kube, *lines) {
	t.Helper()
	l := &lines{}
	k, err := store.OpenKube(config, namespace, l.logger())
	if err != nil {
		t.Fatal(err)
	}
	return k, l
}

func namespace(t *testing.T) string {
	t.Helper()
	name := fresh()
	if err := plane.Namespace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestKube(t *testing.T) {
	storetest.Run(t, storetest.Kind{Durable: true, Shared: true, Fresh: func(t *testing.T) storetest.Place {
		ns := namespace(t)
		return storetest.Place{
			Kill: func(*testing.T) { plane.API.Kill() },
			Revive: func(t *testing.T) {
				t.Helper()
				if err := plane.API.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			Open: func(t *testing.T) api.Store {
				k, l := openKube(t, plane.Admin(), ns)
				t.Cleanup(func() {
					if t.Failed() {
						t.Log(l)
					}
				})
				return k
			}}
	}})
}

var _ = time.Second
