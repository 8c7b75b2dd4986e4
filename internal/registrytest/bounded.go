package registrytest

import (
	"fmt"
	"net/http"
)

// bounded refuses requests by method and size before it reads their bodies.
func bounded(settings settings, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranged := r.Header.Get("Content-Range") != ""
		switch {
		case settings.over(Request413, r.ContentLength),
			r.Method == http.MethodPut && settings.over(Put413, r.ContentLength):
			http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		case ranged && settings.over(Range416, r.ContentLength):
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID",
				fmt.Sprintf("maximum permissible limit of %.2fMiB", float64(settings.quirks[Range416])/(1<<20)))
		case r.Method == http.MethodPatch && settings.has(PatchRefused):
			refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
