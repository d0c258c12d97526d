package diagnose

// Cause says why something is broken. The names are part of the API: append only.
type Cause string

// The causes. Each is drawn from evidence or from a pattern that has no other explanation.
const (
	CauseUnknown Cause = ""

	DuplicatePodCIDR          Cause = "duplicate_pod_cidr"
	DuplicatePodIP            Cause = "duplicate_pod_ip"
	PodCIDROverlapsLAN        Cause = "pod_cidr_overlaps_lan"
	BridgeOverlapsNodeNetwork Cause = "bridge_overlaps_node_network"
	DuplicateNodeIP           Cause = "duplicate_node_ip"

	ForwardDropped     Cause = "forward_dropped"
	IPForwardOff       Cause = "ip_forward_off"
	HostFirewallReject Cause = "host_firewall_rejects"
	HostFirewallDrop   Cause = "host_firewall_drops"
	AgentPortBlocked   Cause = "agent_port_blocked"

	BridgeDown           Cause = "bridge_down"
	BridgeAddressMissing Cause = "bridge_address_missing"
	BridgeMissing        Cause = "bridge_missing"
	PodLinkDown          Cause = "pod_link_down"

	OverlayDeviceDown    Cause = "overlay_device_down"
	OverlayDeviceMissing Cause = "overlay_device_missing"
	OverlayRoutesMissing Cause = "overlay_routes_missing"
	OverlayPeersMissing  Cause = "overlay_peers_missing"
	VTEPAddressWrong     Cause = "vtep_address_wrong"
	VTEPMACWrong         Cause = "vtep_mac_wrong"
	VXLANPortMismatch    Cause = "vxlan_port_mismatch"
	VXLANPortBlocked     Cause = "vxlan_port_blocked"
	VXLANBlocked         Cause = "vxlan_blocked"
	VXLANIDMismatch      Cause = "vxlan_id_mismatch"

	FDBEntryMissing      Cause = "fdb_entry_missing"
	NeighborEntryMissing Cause = "neighbor_entry_missing"
	RouteMissing         Cause = "route_missing"
	RouteWrong           Cause = "route_wrong"
	RouteBlackholed      Cause = "route_blackholed"
	RPFilterDrop         Cause = "rp_filter_drop"
	UnderlayFiltered     Cause = "underlay_filtered"

	PolicyRuleHijack   Cause = "policy_rule_hijack"
	ConntrackFull      Cause = "conntrack_full"
	NeighborTableFull  Cause = "neighbor_table_full"
	NICDown            Cause = "nic_down"
	NICErrors          Cause = "nic_errors"
	PolicyOrFilter     Cause = "policy_or_filter"
	FilterRule         Cause = "filter_rule"
	ICMPEchoIgnored    Cause = "icmp_echo_ignored"
	ICMPFiltered       Cause = "icmp_filtered"
	TCPFiltered        Cause = "tcp_filtered"
	UDPFiltered        Cause = "udp_filtered"
	QueueShaped        Cause = "queue_shaped"
	OverlayMTULow      Cause = "overlay_mtu_low"
	UnderlayMTULow     Cause = "underlay_mtu_low"
	NICMTULow          Cause = "nic_mtu_low"
	FragNeededFiltered Cause = "frag_needed_filtered"
	PodMTUHigh         Cause = "pod_mtu_high"
	RouteMTULow        Cause = "route_mtu_low"

	ProcessDown  Cause = "process_down"
	ProcessHung  Cause = "process_hung"
	KeyMismatch  Cause = "key_mismatch"
	SelfDoubt    Cause = "self_doubt"
	NotReporting Cause = "not_reporting"

	DNSUDPBlocked       Cause = "dns_udp_blocked"
	DNSTCPBlocked       Cause = "dns_tcp_blocked"
	DNSServerDown       Cause = "dns_server_down"
	DNSServerError      Cause = "dns_server_error"
	DNSServerSlow       Cause = "dns_server_slow"
	ServiceRulesMissing Cause = "service_rules_missing"
	NoEndpoints         Cause = "no_endpoints"
	ServerDown          Cause = "server_down"
	ServiceDown         Cause = "service_down"
	ServiceError        Cause = "service_error"
	ServiceSlow         Cause = "service_slow"
)
