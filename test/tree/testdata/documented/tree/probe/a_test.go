package probe

func TestUndocumented() {}
