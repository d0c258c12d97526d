package store

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"netchecker/api"
)

const (
	group  = "network-checker.ext"
	plural = "agents"
)

// Agent is the object that keeps one agent's report. Its fields are those of the original.
type Agent struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	// Spec is the report. It stays as it came until it is known to be one: an object that somebody else
	// wrote must not keep the others from being read.
	Spec json.RawMessage `json:"spec,omitempty"`
}

// AgentList is what the API server answers to a list.
type AgentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Agent `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (a *Agent) DeepCopyObject() runtime.Object {
	c := a.copied()
	return &c
}

func (a *Agent) copied() Agent {
	return Agent{a.TypeMeta, *a.ObjectMeta.DeepCopy(), bytes.Clone(a.Spec)}
}

// DeepCopyObject implements runtime.Object.
func (l *AgentList) DeepCopyObject() runtime.Object {
	c := &AgentList{l.TypeMeta, *l.ListMeta.DeepCopy(), make([]Agent, len(l.Items))}
	for i := range l.Items {
		c.Items[i] = l.Items[i].copied()
	}
	return c
}

// agentVersion is the group and version of Agent.
func agentVersion() schema.GroupVersion { return schema.GroupVersion{Group: group, Version: "v1"} }

// agentCodecs know how Agent is written.
func agentCodecs() runtime.NegotiatedSerializer {
	s := runtime.NewScheme()
	s.AddKnownTypes(agentVersion(), &Agent{}, &AgentList{})
	metav1.AddToGroupVersion(s, agentVersion())
	return serializer.NewCodecFactory(s).WithoutConversion()
}

// object makes the object of a record. The version is that of the object it takes the place of.
func object(rec *api.Record, namespace, version string) (*Agent, error) {
	r := rec.Report
	r.Uptime = min(r.Uptime, math.MaxInt64) // the API has no larger numbers
	spec, err := json.Marshal(stored{r, rec.Authenticated})
	if err != nil {
		return nil, err
	}
	if spec, err = withoutNulls(spec); err != nil {
		return nil, err
	}
	return &Agent{metav1.TypeMeta{APIVersion: agentVersion().String(), Kind: "Agent"},
		metav1.ObjectMeta{Name: rec.Name, Namespace: namespace, ResourceVersion: version}, spec}, nil
}

// withoutNulls leaves out the fields of a JSON object that are null: an older schema may refuse them.
func withoutNulls(object []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	maps.DeleteFunc(fields, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return json.Marshal(fields)
}

// record is the inverse of object.
func (a *Agent) record() (*api.Record, error) {
	var s stored
	if len(a.Spec) > 0 { // an old object may have none
		if err := json.Unmarshal(a.Spec, &s); err != nil {
			return nil, err
		}
	}
	return &api.Record{Name: a.Name, Report: s.Report, Authenticated: s.Authenticated}, nil
}
