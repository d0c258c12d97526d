package agent

import _ "github.com/prometheus/client_golang/prometheus"
