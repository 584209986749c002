//go:build tools

// Package tools keeps the sums of what is built from here: `go build github.com/prometheus/prometheus/cmd/promtool`.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
