package evidence

// firewall reads the packet filter.
func (r *reading) firewall() {}
