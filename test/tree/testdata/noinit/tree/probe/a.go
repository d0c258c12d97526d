package probe

func init() {}

type t struct{}

func (t) init() {}
