//go:build tools

// Package tools keeps the sums of what is built from here: `go build sigs.k8s.io/kwok/cmd/kwok`.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
