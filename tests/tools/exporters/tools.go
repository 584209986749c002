//go:build tools

// Package tools keeps the exporters in go.mod.
package tools

import (
	_ "github.com/nginx/nginx-prometheus-exporter"
	_ "github.com/oliver006/redis_exporter"
	_ "github.com/prometheus-community/elasticsearch_exporter"
	_ "github.com/prometheus/mysqld_exporter"
)
