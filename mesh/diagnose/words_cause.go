package diagnose

// causeWords says a reading whose cause is known by evidence; "" for all others.
func (p *picture) causeWords(d *reading) (summary, check string) { return "", "" }
