package registrytest

import (
	"fmt"
	"net/http"
)

// bounded refuses requests that are too large.
func bounded(settings settings, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case settings.maxRequest > 0 && r.ContentLength > settings.maxRequest:
			http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		case settings.maxChunk > 0 && r.ContentLength > settings.maxChunk && r.Header.Get("Content-Range") != "":
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID",
				fmt.Sprintf("maximum permissible limit of %.2fMiB", float64(settings.maxChunk)/(1<<20)))
		default:
			next.ServeHTTP(w, r)
		}
	})
}
