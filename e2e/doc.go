// Package e2e tests the real binary against the real registries of docker-compose.test.yml
// and a real Docker Engine. Run it with make e2e; it needs root, docker, compose, skopeo,
// debootstrap, cron, systemd and Debian's docker-registry, and says so where one is missing.
// TestSurvival needs docker-registry only. The folder is a module of its own, because the
// registry that it builds has many dependencies; it imports nothing of regsync's.
package e2e
