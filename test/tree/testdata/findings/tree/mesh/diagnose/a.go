package diagnose

type Kind string

const (
	NodeDown    Kind = "node_down"
	NodeMissing Kind = "node_missing"
)

type Cause string

const (
	Unknown   Cause = ""
	NICDown   Cause = "nic_down"
	NICSlow   Cause = "nic_slow"
	unknown         = "none"
	elsewhere Scope = "cluster"
)
