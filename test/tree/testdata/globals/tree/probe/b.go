package probe

func useElsewhere() { delete(other, "x") }
