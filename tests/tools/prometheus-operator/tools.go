//go:build tools

// Package tools keeps the operator in go.mod: `go build github.com/prometheus-operator/prometheus-operator/cmd/operator`.
package tools

import _ "github.com/prometheus-operator/prometheus-operator/cmd/operator"
