//go:build tools

// Package tools keeps the sums of what is built from here: `go build github.com/prometheus-operator/prometheus-operator/cmd/operator`.
package tools

import _ "github.com/prometheus-operator/prometheus-operator/cmd/operator"
