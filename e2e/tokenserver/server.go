// Package tokenserver is a small server of registry tokens, the one behind the third
// registry of the end-to-end tests. It follows the token specification of the distribution
// project (https://distribution.github.io/distribution/spec/auth/jwt/): Basic
// authentication in, a signed JWT with what the user may do out.
package tokenserver

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Config is what a server is made of.
type Config struct {
	// Issuer and Service stand in the registry's configuration too.
	Issuer  string
	Service string
	// Lifetime of a token in seconds.
	Lifetime int
	// Leeway is how many seconds longer the registry takes a token than it says: distribution does so for 60.
	// Tokens say that they expire so much earlier, and are refused when their life ends.
	Leeway int
	// Key signs; the registry has its public half, under the same key ID.
	Key   jose.JSONWebKey
	Users map[string]User
}

// User is who may log in. Everybody who did may pull everything.
type User struct {
	Password string
	// Push lists the prefixes of repositories that the user may push to and delete from.
	Push []string
}

// Server answers /token, /healthz, and /requests with the number of tokens asked for.
type Server struct {
	config   Config
	signer   jose.Signer
	requests atomic.Int64
}

var _ http.Handler = (*Server)(nil)

// New makes a server.
func New(config Config) (*Server, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: config.Key},
		new(jose.SignerOptions).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	return &Server{config: config, signer: signer}, nil
}

// Requests is how often a token was asked for.
func (s *Server) Requests() int64 { return s.requests.Load() }

// ServeHTTP answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/token":
		s.requests.Add(1)
		s.token(w, r)
	case "/healthz":
		w.WriteHeader(http.StatusNoContent)
	case "/requests":
		writeJSON(w, http.StatusOK, s.Requests())
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "GET only", http.StatusMethodNotAllowed)
		return
	}
	name, password, given := r.BasicAuth()
	user, known := s.config.Users[name]
	if given && (!known || subtle.ConstantTimeCompare([]byte(user.Password), []byte(password)) == 0) {
		w.Header().Set("WWW-Authenticate", `Basic realm="tokens"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	if service := r.URL.Query().Get("service"); service != s.config.Service {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", fmt.Sprintf("no such service: %q", service))
		return
	}
	now := time.Now()
	signed, err := jwt.Signed(s.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:    s.config.Issuer,
			Subject:   name,
			Audience:  jwt.Audience{s.config.Service},
			ID:        rand.Text(),
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now.Add(-time.Second)),
			Expiry:    jwt.NewNumericDate(now.Add(time.Duration(s.config.Lifetime-s.config.Leeway) * time.Second)),
		},
		Access: s.grant(r.URL.Query()["scope"], user, known),
	}).Serialize()
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token":      signed,
		"expires_in": s.config.Lifetime,
		"issued_at":  now.UTC().Format(time.RFC3339),
	})
}

type claims struct {
	jwt.Claims

	Access []access `json:"access"`
}

// access is what a token allows on one repository.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// grant is the part of the scopes asked for that a user has a right to. Scopes come as
// several parameters, or as one with spaces in it.
func (s *Server) grant(scopes []string, user User, known bool) []access {
	granted := []access{}
	for scope := range strings.FieldsSeq(strings.Join(scopes, " ")) {
		kind, rest, _ := strings.Cut(scope, ":")
		end := strings.LastIndexByte(rest, ':')
		if end < 0 || !known {
			continue
		}
		name := rest[:end]
		var actions []string
		for action := range strings.SplitSeq(rest[end+1:], ",") {
			if kind == "registry" || action == "pull" || user.mayPush(name) {
				actions = append(actions, action)
			}
		}
		granted = append(granted, access{Type: kind, Name: name, Actions: actions})
	}
	return granted
}

func (u User) mayPush(repository string) bool {
	for _, prefix := range u.Push {
		if strings.HasPrefix(repository, prefix) {
			return true
		}
	}
	return false
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is a client that has gone.
	_ = json.NewEncoder(w).Encode(v)
}
