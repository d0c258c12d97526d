package api_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"netchecker/api"
	"netchecker/mesh"
)

func FuzzDecodeReport(f *testing.F) {
	f.Add("a", []byte(oldReport("a", "n1", 60)))
	f.Add("a", []byte(`{"network_probes":[{"Total":9223372036854}],"hostdate":"9999-12-31T23:59:59-23:59"}`))
	f.Add("a", []byte(`{"ips":{"e":null},"report_interval":-1}`))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		r, err := api.DecodeReport(name, body)
		if err != nil {
			return
		}
		if i := r.Interval(); i <= 0 || r.PodName != name {
			t.Errorf("interval %v, pod %q", i, r.PodName)
		}
		out, err := json.Marshal(r) // stores and answers encode what was taken
		if err != nil {
			t.Fatal(err)
		}
		if mesh.CheckName("", name) != nil {
			return
		}
		if _, err := api.DecodeReport(name, out); err != nil {
			t.Errorf("what was taken does not come back: %v", err)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	f.Add(api.NewKeys([]byte("k")).Sign(api.ForRow, "a", 1, 2, []byte("x")).String())
	f.Add("v1 1 2 00")
	f.Add("v1 18446744073709551616 0 ")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := api.ParseSignature(text)
		if err != nil {
			return
		}
		if again, err := api.ParseSignature(s.String()); err != nil || again != s {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzParseVia(f *testing.F) {
	f.Add(api.SignVia(api.NewKeys([]byte("k")), mesh.Key{Node: "n1", Network: mesh.Host}, "s", nil).String())
	f.Add("n/pod v1 0 0 ")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := api.ParseVia(text)
		if err != nil {
			return
		}
		if again, err := api.ParseVia(v.String()); err != nil || again != v {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	f.Add("state=all&path=pod-to-pod&source=n1&format=csv")
	f.Add("state=,,&state=failing&x=%zz")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		if _, err := api.ParseQuery(values, epoch); err != nil && len(err.Error()) > 2000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

func FuzzRosterAgent(f *testing.F) {
	f.Add([]byte(`{"name":"a","node":"n","network":"pod","ipv4":"10.0.0.1","probe_port":8095,"gossip_port":8096,"boot":"7"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r api.RosterAgent
		if json.Unmarshal(body, &r) != nil {
			return
		}
		if a, err := r.Agent(); err == nil && a.Check() != nil {
			t.Errorf("%+v passed", a)
		}
	})
}
