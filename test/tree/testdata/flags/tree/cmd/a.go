package main

import "flag"

func flags(fs *flag.FlagSet) {
	_ = fs.String("endpoint", "", "where to listen")
	_ = fs.Int("end", 0, "not in the table")
	_ = fs.Int("far", 0, "in docs")
	var x bool
	fs.BoolVar(&x, "hidden", false, "not in the table")
}
