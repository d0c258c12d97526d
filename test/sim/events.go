package sim

import (
	"container/heap"
	"time"
)

// events is what will happen, in order of time; what is due at once happens in the order it was said.
type events struct {
	list   []event
	serial int
}

type event struct {
	due    time.Duration
	serial int
	do     func()
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (e *events) Len() int { return len(e.list) }

func (e *events) Less(i, j int) bool {
	a, b := &e.list[i], &e.list[j]
	return a.due < b.due || a.due == b.due && a.serial < b.serial
}

func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }

// Push implements heap.Interface.
func (e *events) Push(x any) { e.list = append(e.list, x.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

func (e *events) run(now time.Duration) {
	for len(e.list) > 0 && e.list[0].due <= now {
		heap.Pop(e).(event).do()
	}
}

// at lets something happen at a moment.
func (c *Cluster) at(due time.Duration, do func()) {
	c.events.serial++
	heap.Push(&c.events, event{due, c.events.serial, do})
}
