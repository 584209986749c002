//go:build tools

// Package tools keeps the sealed-secrets commands in go.mod: `go build github.com/bitnami/sealed-secrets/cmd/…`.
package tools

import (
	_ "github.com/bitnami/sealed-secrets/cmd/controller"
	_ "github.com/bitnami/sealed-secrets/cmd/kubeseal"
)
