//go:build tools

// Package tools keeps the sums of what is built from here: `go build github.com/vale-cli/vale/v3/cmd/vale`.
package tools

import _ "github.com/vale-cli/vale/v3/cmd/vale"
