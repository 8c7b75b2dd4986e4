package registry

import (
	"context"
	"time"
)

// intent is what the RoundTrippers have to know of a request.
type intent struct {
	// repository is whose credentials are used; empty for the registry as a whole.
	repository string
	// need are the scopes without which the request fails.
	need scopes
	// wish are scopes that later requests will need, so that one token serves all.
	wish scopes
	// from is the repository that a blob is mounted from.
	from string
	// stream marks the requests that carry a blob: others limit and repeat them.
	stream bool
	// opens marks the requests whose answer names an upload session.
	opens bool
	// lasting asks for a token that has a third of its life left, because a body goes with
	// the request or follows it.
	lasting bool
	// asked is when the request was begun.
	asked time.Time
	// patience is how long the answer may take; the usual time if zero.
	patience time.Duration
}

type intentKey struct{}

func withIntent(ctx context.Context, in intent) context.Context {
	return context.WithValue(ctx, intentKey{}, in)
}

func intentOf(ctx context.Context) intent {
	in, _ := ctx.Value(intentKey{}).(intent)
	return in
}

func (r *Repository) reading() intent {
	in := intent{repository: r.name, need: scopes{repositoryScope(r.name, "pull")}}
	if !r.reader {
		in.wish = scopes{repositoryScope(r.name, "pull", "push")}
	}
	return in
}

func (r *Repository) writing() intent {
	return intent{repository: r.name, need: scopes{repositoryScope(r.name, "pull", "push")}}
}

func (r *Repository) deleting() intent {
	return intent{repository: r.name, need: scopes{repositoryScope(r.name, "delete", "pull")}}
}
