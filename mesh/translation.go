package mesh

// NoPlace stands for a column that leads to no agent of the view.
const NoPlace = 1<<32 - 1

// translation says where the columns of a row's table stand in a view's, and the other way round. A place is
// an agent's number <<1 with the family in the lowest bit. It is immutable.
type translation struct {
	// at is the row's column for each of the view's, -1 where it has none; nil when both tables are one.
	at []int32
	// place is where each of the row's columns leads, NoPlace for nowhere.
	place []uint32
	// lacks are the places that the row has no column for, in their order, and gone the row's columns
	// that lead nowhere.
	lacks []uint32
	gone  []int32
}

// column translates a column of the view's table to the row's, -1 when it has none.
func (tr *translation) column(col int) int {
	if tr.at == nil {
		return col
	}
	return int(tr.at[col])
}

// columnAt is the view's column that leads to a place, -1 for NoPlace.
func (l *layout) columnAt(place uint32) int {
	if place == NoPlace {
		return -1
	}
	return l.columnOf[place>>1][place&1]
}

// translation returns that of a table. Until its next row each agent speaks by the table of before the
// last change of the roster, so that one translation serves thousands of rows and all the views of a layout;
// to look up their columns one by one took 20 s and more of 5,000 nodes after one had joined.
func (l *layout) translation(t *Table) *translation {
	if t.hash == l.table.hash {
		return &l.same
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	tr := l.moved[t.hash]
	if tr != nil {
		return tr
	}
	tr = l.translate(t)
	if l.moved == nil {
		l.moved = map[TableHash]*translation{}
	}
	if len(l.moved) < maxTables { // no more than of tables are kept, and those that are kept go on to serve
		l.moved[t.hash] = tr
	}
	return tr
}

// translate compares two sorted lists in one pass.
func (l *layout) translate(t *Table) *translation {
	tr := &translation{at: make([]int32, l.table.Len()), place: make([]uint32, t.Len())}
	col := 0
	lack := func() {
		tr.at[col] = -1
		tr.lacks = append(tr.lacks, l.same.place[col])
		col++
	}
	for i, d := range t.dests {
		for col < len(tr.at) && l.table.dests[col].Compare(d) < 0 {
			lack()
		}
		if col < len(tr.at) && l.table.dests[col] == d {
			tr.at[col], tr.place[i] = int32(i), l.same.place[col]
			col++
			continue
		}
		tr.place[i] = NoPlace
		tr.gone = append(tr.gone, int32(i))
	}
	for col < len(tr.at) {
		lack()
	}
	return tr
}
