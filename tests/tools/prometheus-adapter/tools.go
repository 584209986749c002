//go:build tools

// Package tools keeps the sums of what is built from here: `go build sigs.k8s.io/prometheus-adapter/cmd/adapter`.
package tools

import _ "sigs.k8s.io/prometheus-adapter/cmd/adapter"
