package gossip

import _ "netchecker/api"
