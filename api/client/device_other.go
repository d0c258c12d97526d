//go:build !linux

package client

// TryDevice does nothing where connections cannot be bound to an interface: only netcheck runs there.
func (c *Client) TryDevice(string) {}
