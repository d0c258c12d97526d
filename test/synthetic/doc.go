// Command synthetic runs a real server whose agents exist on paper only: their rows are made up
// and posted over loopback. It shows the page with any number of nodes on any machine, and the
// tests of the page drive it: it takes commands on standard input, one a line, and answers each
// with a line "ok" or "error: …".
//
//	fault KIND NODE [NODE]   break something: overlay, dead, mtu, tcp, loss, oneway, pair, doubt, zone
//	heal                     mend everything
//	noise PERCENT            that share of all paths fails, each at random for good
//	silence                  no agent reports any more
//	down, up                 stop the server, start it on the same address with the same data
//	quit                     end, as the end of the input does
package main
