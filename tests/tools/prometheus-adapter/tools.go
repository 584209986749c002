//go:build tools

// Package tools keeps the adapter in go.mod: `go build sigs.k8s.io/prometheus-adapter/cmd/adapter`.
package tools

import _ "sigs.k8s.io/prometheus-adapter/cmd/adapter"
