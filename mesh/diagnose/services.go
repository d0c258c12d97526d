package diagnose

func (r *round) services() {}
