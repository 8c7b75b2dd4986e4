package registrytest

import "net/http"

// basic requires a user name and a password.
type basic struct {
	user account
	next http.Handler
}

func (b *basic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, password, ok := r.BasicAuth(); ok && b.user == (account{name, password}) {
		b.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}
