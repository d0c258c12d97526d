package diagnose

// explain asks the evidence for the cause of what a reading says.
func (r *round) explain(p *picture, d *reading) {}
