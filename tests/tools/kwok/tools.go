//go:build tools

// Package tools keeps kwok in go.mod: `go build sigs.k8s.io/kwok/cmd/kwok`.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
