//go:build tools

// Package tools keeps the sums of what is built from here: `go build github.com/bitnami/sealed-secrets/cmd/…`.
package tools

import (
	_ "github.com/bitnami/sealed-secrets/cmd/controller"
	_ "github.com/bitnami/sealed-secrets/cmd/kubeseal"
)
