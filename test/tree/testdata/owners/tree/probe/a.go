package probe

import _ "github.com/prometheus/client_golang/prometheus" // bad
