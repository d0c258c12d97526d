package probe

// Tap lets a test see every arrival before the engine does.
func (e *Engine) Tap(see func(*Arrival)) {
	e.takeFn = func(a *Arrival) {
		see(a)
		e.take(a)
	}
}

// RotateAll replaces every source port at once.
func (e *Engine) RotateAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for flow := range Flows {
		e.rotate(flow)
	}
}
