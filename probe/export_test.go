package probe

// Tap lets a test see every arrival before the engine does.
func (e *Engine) Tap(see func(*Arrival)) {
	e.takeFn = func(a *Arrival) {
		see(a)
		e.take(a)
	}
}
