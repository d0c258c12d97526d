package api_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
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
	f.Add("v1 1 2 " + strings.Repeat("00", 32) + " node1/pod uid")
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

func FuzzEnrol(f *testing.F) {
	a := testAgent(1, mesh.Pod)
	r := newReviewer(a)
	server := serveKubernetes(f, r, nil, master)
	request, _ := claim(server, a.Name, claimOf(a))
	good, err := json.Marshal(request)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:len(good)/2])
	f.Add([]byte(strings.Replace(string(good), `"sealed":"`, `"sealed":"AAAA`, 1)))
	f.Add([]byte(`{"challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	f.Add([]byte(`{"ticket":null,"sealed":[]}`))
	handler := server.server.Handler()
	f.Fuzz(func(t *testing.T, body []byte) { // by a member of the mesh
		q := httptest.NewRequest("POST", "/api/v1/agents/"+a.Name+"/enrol", strings.NewReader(string(body)))
		q.Header.Set(api.SignatureHeader, ringKeys.Sign(api.ForEnrol, a.Name, 1, 0, body).String())
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, q)
		var answer api.EnrolAnswer
		if w.Code == 500 || json.Unmarshal(w.Body.Bytes(), &answer) != nil || answer.Sealed != nil || r.askedNow() != 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzOpenClaim(f *testing.F) {
	a := testAgent(1, mesh.Pod)
	server := serveKubernetes(f, newReviewer(a), nil, otherMaster, master)
	request, _ := claim(server, a.Name, claimOf(a))
	masters, err := api.NewMasters(otherMaster, master)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request.Ticket, request.Sealed)
	f.Add(request.Ticket, request.Sealed[:32])
	f.Add([]byte{}, make([]byte, 100))
	f.Fuzz(func(t *testing.T, ticket, sealed []byte) {
		// The fuzzer seals with no key: what opens is a seed, sealed in this process or the one that feeds it.
		got, err := masters.OpenClaim(a.Name, &api.EnrolRequest{Ticket: ticket, Sealed: sealed})
		if err == nil && *got != claimOf(a) {
			t.Errorf("%+v", got)
		}
	})
}
